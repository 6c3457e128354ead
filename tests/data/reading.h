/* reading.h - a second reading of ShapeRef's expressions that shares nothing with the solver: the words are
 * parsed and evaluated as sets of objects. */
#ifndef TESTS_DATA_READING_H
#define TESTS_DATA_READING_H

#include "engine/data/shaperef/expression.h"

/* The objects that the text means, bit i = object i. least: how many pixels "left of" and its like must be
 * (more than 0 in any case). An unknown word or form is an assertion. */
unsigned reading_of(const struct scene *s, const char *text, double least);

int reading_only(unsigned set); /* the one member; -1 when there is none or a second */

/* Which attribute a word is a value of; -1: none. */
int reading_attribute(const char *word, int *ret_value);

#endif
