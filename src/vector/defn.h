/* vector/defn.h: index definitions: what a client posts and what a design document holds.
 *
 * A design document carries them under "vectors": {"name": {"index": {normalised definition}}}.
 * Each vector field of a definition is one index folder, named by its signature; equal fields of
 * two definitions share it.
 * Pure: JSON in, values in the caller's arena out.
 */
#ifndef VECTOR_DEFN_H
#define VECTOR_DEFN_H
#include "mango/selector.h"
#include "vector/segment.h"
#include "json/json.h"

struct vfield {
    struct slice name;      /* as written: "embedding", "chunks.[].vec" */
    bool each;              /* has ".[]" */
    struct path head, tail; /* around ".[]"; all of it in head when !each */
    struct slice head_text, tail_text;
    uint32_t dims;
    enum vmetric metric;
    struct slice model; /* empty: none */
    unsigned char sig[VSEG_SIG];
};
struct vdef {
    struct slice ddoc; /* id with "_design/" */
    struct slice name;
    uint32_t nfields;
    struct vfield *field; /* only those of type vector */
    uint32_t m, efc;
    struct selector *partial; /* NULL: none */
    const struct json *json;  /* normalised "index" object */
};
/* The "index" object of a definition; 400 invalid_index. */
enum status vdef_parse(struct arena *a, const struct json *index, struct vdef *out,
                       struct err *e) MUST_CHECK;
const char *vmetric_name(enum vmetric m);
bool vmetric_parse(struct slice s, enum vmetric *out);
void vsig_hex(const unsigned char sig[VSEG_SIG], char out[2 * VSEG_SIG + 1]);
const struct vfield *vdef_field(const struct vdef *d, struct slice name); /* NULL: no such */
/* 40 hex digits that name a definition without a name. */
struct slice vdef_auto_name(struct arena *a, const struct vdef *d);
/* What _index and _explain say of it; graph: with its graph's parameters. */
void vdef_write(const struct vdef *d, bool graph, struct arena *a, struct buf *out);
#endif
