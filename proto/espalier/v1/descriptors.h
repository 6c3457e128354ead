/* descriptors.h - the contract's own description, for server reflection.
 *
 * A serialised google.protobuf.FileDescriptorSet of job.proto, report.proto, health.proto and both
 * versions of reflection.proto, with what they import. Constant for the life of the program.
 */
#ifndef ESPALIER_V1_DESCRIPTORS_H
#define ESPALIER_V1_DESCRIPTORS_H

#include <stddef.h>

extern const unsigned char espalier_descriptors[];
extern const size_t espalier_descriptors_size;

#endif
