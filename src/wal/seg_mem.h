/* wal/seg_mem.h: a seg_store in memory that can fail on purpose; for tests. */
#ifndef WAL_SEG_MEM_H
#define WAL_SEG_MEM_H
#include "wal/seg_store.h"

enum seg_mem_fault {
    SEG_MEM_NONE,
    SEG_MEM_NOSPC,        /* the append fails with SS_NOSPC, nothing written */
    SEG_MEM_UNKNOWN_DONE, /* SS_UNKNOWN, but the bytes are there */
    SEG_MEM_UNKNOWN_NOT,  /* SS_UNKNOWN, and they are not */
    SEG_MEM_IO            /* SS_IO */
};
struct seg_store *seg_mem_new(uint64_t seed);
/* The n-th append from now (1 = the next) meets the fault; once, or for ever when sticky. Appends
 * to objects count, and so does finishing one. */
void seg_mem_fail_append(struct seg_store *s, unsigned nth, enum seg_mem_fault f, bool sticky);
/* A copy as a crash leaves it: whole durable appends, then `torn` bytes of one that was under way
 * (what they are depends on the seed). The copy is free of faults and unowned. */
struct seg_store *seg_mem_crash(const struct seg_store *s, uint32_t torn);
/* Flips bits of a byte: damage. */
void seg_mem_damage(struct seg_store *s, uint64_t seg, uint32_t off, unsigned char mask);
void seg_mem_damage_obj(struct seg_store *s, uint64_t id, uint64_t off, unsigned char mask);
/* A second owner takes over: the first one's calls answer SS_FENCED from now on. */
void seg_mem_fence(struct seg_store *s);
#endif
