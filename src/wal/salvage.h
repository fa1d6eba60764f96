/* wal/salvage.h: mends a damaged log, so that it opens like any other and holds all that can still
 * be read of it.
 *
 * In a damaged stretch of a segment every record that is whole stays where it is. What is between
 * them becomes PAD records with the LSNs that are lost; their bodies are the damaged bytes, so
 * that a pointer into a part of them that is whole goes on working. Groups are put together anew.
 * A segment of which nothing can be used is set aside, and the LSNs that are missing then go into
 * `missing`. Before a segment is changed a copy of it lies in DATA/<n>/quarantine, for good.
 * Done twice, the second time finds nothing. Threads: the opener, before the log is opened.
 */
#ifndef WAL_SALVAGE_H
#define WAL_SALVAGE_H
#include "wal/gone.h"
#include "wal/log.h"

/* A lost record whose damaged header still tells what it was of. Not to be relied on. */
struct log_salvage_hint {
    uint64_t lsn, seg;
    uint32_t off, dbnum;
    struct slice docid;
};
/* Bytes of a segment that held a record which is lost; ascending. */
struct salvage_place {
    uint64_t seg;
    uint32_t off, end;
};
struct log_salvage {
    void (*say)(void *arg, const char *text); /* a line for people */
    void (*hint)(void *arg, const struct log_salvage_hint *h);
    void *arg;
    uint64_t damaged;    /* out: places that were mended or given up */
    struct gone lost;    /* out: LSNs of records that are lost */
    struct gone missing; /* out: of these, LSNs that the log does not have; a LOG_GONE record must
                            say so before the log opens without `salvage` */
    struct salvage_place *places; /* out */
    size_t nplaces, places_cap;
};
void log_salvage_free(struct log_salvage *v); /* what is in it */
/* Whether the record that held these bytes is lost (the bytes themselves may be whole). */
bool log_salvage_hit(const struct log_salvage *v, const struct seg_ptr *p);
/* A store of files, acquired. ST_IO, ST_NO_SPACE: run it again. */
enum status log_salvage(struct seg_store *ss, uint64_t store, const struct ss_super *super,
                        struct log_salvage *out, struct err *e) MUST_CHECK;

/* ---- salvage_fill.c: the bytes; pure ---- */
struct salvage_stretch {
    unsigned char *p; /* the segment's bytes */
    uint32_t off,
        end;       /* nothing valid starts at off; a whole group, or the segment's end, at end */
    bool open_end; /* the segment ends at `end`: it may end earlier */
    uint32_t salt;
    uint64_t seg;
    uint64_t first, next; /* LSN that must come at off, and that comes at end */
};
/* Fills the stretch with whole groups that hold LSNs first to next-1. *stop: where they end, which
 * is `end` unless open_end; *upto: the first LSN that did not fit. false: it cannot be done. */
bool salvage_fill(const struct salvage_stretch *s, struct log_salvage *out, uint32_t *stop,
                  uint64_t *upto);
void salvage_note(struct log_salvage *out, uint64_t seg, uint32_t off, uint32_t end);
/* The salt of a segment by its first group that is whole. false: there is none. */
bool salvage_salt(struct slice segment, uint32_t *salt, uint64_t *first_lsn);
#endif
