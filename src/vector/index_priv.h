/* vector/index_priv.h: what index.c, index_build.c and manifest.c share. */
#ifndef VECTOR_INDEX_PRIV_H
#define VECTOR_INDEX_PRIV_H
#include "base/map.h"
#include "vector/index.h"

/* A part as the token holder sees it. */
struct dpart {
    struct vpart p;
    bool own_dead;       /* p.dead is a copy of this batch, not yet published */
    uint64_t freeze_seq; /* memtables that are frozen */
    uint32_t number;     /* segments: file number */
    struct vseg_file file;
    uint32_t dead_gen, dead_crc; /* of the dead file; 0: none */
    struct vbits *dead_saved;    /* what that file holds, referenced */
};

struct vindex {
    struct vindex_opts o;
    char *dir;
    struct mutex mu; /* cur, token, counts of skips; rank leaf */
    struct cond cv;
    bool token;
    struct vview *cur;
    struct map *skips; /* docnum bytes -> struct vskip */
    uint32_t skips_over;
    /* token holder's */
    struct dpart *part;
    uint32_t nparts, cap;
    bool active; /* the last part is a memtable that takes rows */
    uint64_t applied;
    bool changed;
    /* builder's (written under the token as well) */
    uint64_t indexed_seq, saved_seq;
    uint32_t next_number;
    bool manifest_dirty;
    uint64_t disk;
};

/* What one segment contributes to the manifest. */
struct mseg {
    uint32_t number, rows, dead_gen, dead_crc;
    struct vseg_file file;
};
struct manifest {
    unsigned char uuid[16], sig[VSEG_SIG];
    uint64_t seq;
    uint32_t next_number, n;
    struct mseg *seg; /* arena */
    uint32_t nskips, skips_over;
    struct vskip *skip; /* arena */
};
enum status manifest_write(const char *dir, const struct manifest *m, struct err *e) MUST_CHECK;
/* ST_NOT_FOUND: none; ST_CORRUPT. */
enum status manifest_read(const char *dir, struct arena *a, struct manifest *out,
                          struct err *e) MUST_CHECK;
/* Bitmap files. */
enum status dead_write(const char *path, const struct vbits *b, uint32_t *crc,
                       struct err *e) MUST_CHECK;
enum status dead_read(const char *path, uint32_t nbits, uint32_t crc, struct vbits **out,
                      struct err *e) MUST_CHECK;
void vpath_seg(char out[4096], const char *dir, uint32_t number);
void vpath_dead(char out[4096], const char *dir, uint32_t number, uint32_t gen);
/* Removes every file that the manifest does not name. */
void manifest_sweep(const char *dir, const struct manifest *m);
const char *vskip_reason(const char *text); /* the static string equal to it, or a general one */

struct dpart *vindex_add_part(struct vindex *ix, uint32_t at, const struct vpart *p);
void vindex_drop_part(struct vindex *ix, uint32_t at);
struct vbits *vindex_own_dead(struct dpart *d); /* a bitmap that may be written in this batch */
/* Writes dead files and the manifest as of now. */
enum status vindex_save(struct vindex *ix, struct err *e) MUST_CHECK;
#endif
