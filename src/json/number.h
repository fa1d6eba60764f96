/* json/number.h: shared inside json/: how nodes are linked, and the texts of numbers. Every text
 * here was accepted by the parser before; a scan over anything else still stays inside its bounds.
 * Threads: any. */
#ifndef JSON_NUMBER_H
#define JSON_NUMBER_H
#include "json/json.h"

static inline void node_append(struct json *parent, struct json *v)
{
    if (parent->last != NULL)
        parent->last->next = v;
    else
        parent->first = v;
    parent->last = v;
    parent->count++;
}

/* Takes the next number token off the front of rest: the inside of a packed array, with or without
 * its brackets. false at the end. */
bool number_next(struct slice *rest, struct slice *token);
double number_double(struct slice text);   /* correctly rounded; may be infinite */
bool number_is_integer(struct slice text); /* only digits after an optional '-' */
/* By exact value: integers of any length; a text with a point or exponent counts as its double.
 * A total order. */
int number_cmp(struct slice x, struct slice y);
enum { NUMBER_TEXT = 32 };
size_t number_text(double v, char out[NUMBER_TEXT]); /* of a finite v; returns the length */
/* Gives arr, of which only numbers are known, nodes for the `count` numbers in its text. */
void number_link(struct arena *a, struct json *arr, struct slice text, uint32_t count);
#endif
