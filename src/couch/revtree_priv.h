/* couch/revtree_priv.h: what rev.c, revtree*.c and docinfo.c share and nobody else includes. */
#ifndef COUCH_REVTREE_PRIV_H
#define COUCH_REVTREE_PRIV_H
#include "couch/revtree.h"

/* The flag byte before an id: in a tree all four, in a changes row only NODE_HEX. */
enum node_flag { NODE_LEAF = 1, NODE_DELETED = 2, NODE_BODY = 4, NODE_HEX = 8, NODE_FLAGS = 15 };

/* A hash that may be stored as it is: short, UTF-8, nothing that would need escaping in JSON or in
 * a header, and not 32 bytes long (those are kept as 16 raw ones). */
bool rev_id_valid(struct slice id);

/* Room for n more nodes; the array may move. */
void revtree_reserve(struct revtree *t, uint32_t n);
/* Appends a leaf without looking at its parent; the id is copied when copy. */
int revtree_push(struct revtree *t, int parent, const struct rev *r, bool copy);
bool revtree_has_twin(const struct revtree *t); /* a revision occurs twice; about linear */

/* revtree_encode that reports where the SEG_SELF pointers were written: marks has room for one per
 * node with such a pointer (or is NULL). Returns their number. */
uint32_t revtree_encode_marks(const struct revtree *t, struct buf *out, size_t *marks);
/* Only the winner's revision of an encoded tree; does not build the tree when it is one path. The
 * tree must be all that is left in r. ST_CORRUPT, also when it is empty. */
enum status revtree_decode_winner(struct rd *r, struct arena *a, struct rev *out,
                                  struct err *e) MUST_CHECK;
#endif
