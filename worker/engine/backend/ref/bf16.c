/* bf16.c - the products of ref once more, every operand rounded to bfloat16 first; sums are in double, and what is no operand of a
 * product (bias, residual, softmax, a bias' gradient) is not rounded. The definition of right for train.precision: bf16. */
#include "base/bf16.h"

#define REF(name) ref_bf16_##name
#define OPERAND(x) ((double)bf16_to_float(bf16_of((float)(x))))

/* NOLINTBEGIN(bugprone-suspicious-include): the same sources, compiled a second time */
#include "engine/backend/ref/attention.c"
#include "engine/backend/ref/conv.c"
#include "engine/backend/ref/linear.c"
/* NOLINTEND(bugprone-suspicious-include) */
