/* vector/extract.h: vectors out of a document's JSON. Pure; results live in the caller's arena. */
#ifndef VECTOR_EXTRACT_H
#define VECTOR_EXTRACT_H
#include "vector/defn.h"
#include "vector/memtable.h"

/* Reads one vector: an array of numbers or base64 of little-endian float32. NULL, or why not (a
 * static text of vskip_reason's list). *at: index of the number at fault, when there is one. */
const char *vector_read(const struct json *v, uint32_t dims, enum vmetric metric, float *out,
                        uint32_t *at);
/* The vectors of the field in a document object; out->id and docnum are the caller's. A missing
 * field gives none. Returns NULL, or why the document is left out. */
const char *vector_extract(struct arena *a, const struct vfield *f, const struct json *doc,
                           struct vdoc_rows *out);
/* "chunks.3.vec" for element 3 of chunks.[].vec; the plain name otherwise. */
struct slice vector_at(struct arena *a, const struct vfield *f, uint32_t elem);
#endif
