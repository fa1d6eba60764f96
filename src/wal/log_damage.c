/* wal/log_damage.c: segments in which something failed its checksum while the log was in use.
 * Threads: any. */
#include "base/alloc.h"
#include "base/log.h"
#include "wal/log_priv.h"

static bool has(const struct log *log, uint64_t seg) REQUIRES(log->mu)
{
    for (size_t i = 0; i < log->ndamaged; i++)
        if (log->damaged[i] == seg)
            return true;
    return false;
}

bool log_is_damaged(struct log *log, uint64_t seg)
{
    bool is;

    mutex_lock(&log->mu);
    is = has(log, seg);
    mutex_unlock(&log->mu);
    return is;
}

void log_note_damage(struct log *log, uint64_t seg, const struct err *why)
{
    bool is_new;

    mutex_lock(&log->mu);
    is_new = !has(log, seg);
    if (is_new) {
        log->damaged = mem_realloc(log->damaged, (log->ndamaged + 1) * sizeof(*log->damaged));
        log->damaged[log->ndamaged++] = seg;
    }
    mutex_unlock(&log->mu);
    if (is_new)
        log_error("log/%016llx.seg is damaged: %s; the file stays, `divan check` lists what cannot "
                  "be read",
                  (unsigned long long)seg, why->reason);
}

size_t log_damaged(struct log *log, uint64_t *out, size_t max)
{
    size_t n;

    mutex_lock(&log->mu);
    n = log->ndamaged;
    for (size_t i = 0; i < n && i < max; i++)
        out[i] = log->damaged[i];
    mutex_unlock(&log->mu);
    return n;
}
