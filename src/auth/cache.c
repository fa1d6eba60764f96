/* auth/cache.c: what keeps guessing expensive for the guesser and cheap for the server.
 *
 * A verified name and password is remembered for VERIFIED_US under an HMAC with a key of this
 * process over name, salt, stored hash and password: the password itself is not kept, a changed one
 * is forgotten by itself, and a hash of 600,000 rounds is paid once and not per request. At most
 * HASHES_AT_ONCE hashes run at a time. Failures are counted for address, name and salt.
 * Both tables are bounded; a full one is emptied of what is over, or of all.
 */
#include "auth/auth_priv.h"
#include "base/alloc.h"
#include "base/digest.h"
#include "base/limits.h"
#include "base/time.h"

enum { HASHES_AT_ONCE = 2, MAC_BYTES = 32 };
#define VERIFIED_US 600000000ull

struct entry {
    uint64_t until_us;
    unsigned failures;
};
struct cache {
    unsigned char key[32];
    struct mutex lock; /* RANK_LEAF: all below */
    struct cond hashed;
    struct map *verified, *failed; /* HMAC -> struct entry */
    unsigned hashing, waiting;
};

struct cache *cache_new(void)
{
    struct cache *c = mem_zalloc(sizeof(*c));

    c->verified = map_new();
    c->failed = map_new();
    mutex_init(&c->lock, RANK_LEAF);
    cond_init(&c->hashed);
    random_bytes(c->key, sizeof(c->key));
    return c;
}

static bool free_entry(void *arg, struct slice key, void *value)
{
    (void)arg, (void)key;
    mem_free(value);
    return true;
}

static void drop_all(struct map *m)
{
    map_each(m, free_entry, NULL);
    map_free(m);
}

void cache_free(struct cache *c)
{
    if (c == NULL)
        return;
    drop_all(c->verified);
    drop_all(c->failed);
    cond_fini(&c->hashed);
    mutex_fini(&c->lock);
    mem_free(c);
}

/* Lengths in front, so that no two rows of fields read the same. */
static void mac_of(const struct cache *c, const struct slice *fields, size_t n,
                   unsigned char out[MAC_BYTES])
{
    struct buf b;

    buf_init(&b, 4u << 20);
    for (size_t i = 0; i < n; i++) {
        buf_varint(&b, fields[i].n);
        buf_add(&b, fields[i]);
    }
    hmac_sha256(slice_of(c->key, sizeof(c->key)), buf_slice(&b), out);
    buf_free(&b);
}

static void verified_mac(const struct cache *c, const struct attempt *t,
                         unsigned char out[MAC_BYTES])
{
    const struct password *p = t->password;
    struct slice f[4] = {t->name, p != NULL ? p->salt : slice_of(NULL, 0),
                         p != NULL ? slice_of(p->key, p->key_len) : slice_of(NULL, 0), t->text};

    mac_of(c, f, 4, out);
}

static void failed_mac(const struct cache *c, const struct attempt *t, unsigned char out[MAC_BYTES])
{
    struct slice f[3] = {t->peer, t->name,
                         t->password != NULL ? t->password->salt : slice_of(NULL, 0)};

    mac_of(c, f, 3, out);
}

static void make_room(struct map **m)
{
    if (map_count(*m) < LIMIT_AUTH_CACHE)
        return;
    drop_all(*m);
    *m = map_new();
}

bool cache_was_verified(struct cache *c, const struct attempt *t)
{
    unsigned char mac[MAC_BYTES];
    const struct entry *v;
    bool ok;

    verified_mac(c, t, mac);
    mutex_lock(&c->lock);
    v = map_get(c->verified, slice_of(mac, sizeof(mac)));
    ok = v != NULL && time_mono_us() < v->until_us;
    mutex_unlock(&c->lock);
    return ok && t->password != NULL;
}

void cache_remember(struct cache *c, const struct attempt *t)
{
    struct entry *v = mem_zalloc(sizeof(*v));
    unsigned char mac[MAC_BYTES];

    verified_mac(c, t, mac);
    v->until_us = time_mono_us() + VERIFIED_US;
    mutex_lock(&c->lock);
    make_room(&c->verified);
    mem_free(map_put(c->verified, slice_of(mac, sizeof(mac)), v));
    mutex_unlock(&c->lock);
}

bool cache_hash_begin(struct cache *c)
{
    bool ok;

    mutex_lock(&c->lock);
    ok = c->waiting < LIMIT_HASHES_WAITING;
    if (ok) {
        c->waiting++;
        while (c->hashing >= HASHES_AT_ONCE)
            cond_wait(&c->hashed, &c->lock);
        c->waiting--;
        c->hashing++;
    }
    mutex_unlock(&c->lock);
    return ok;
}

void cache_hash_end(struct cache *c)
{
    mutex_lock(&c->lock);
    c->hashing--;
    cond_signal(&c->hashed);
    mutex_unlock(&c->lock);
}

bool cache_locked(struct cache *c, const struct attempt *t, unsigned after)
{
    unsigned char mac[MAC_BYTES];
    const struct entry *v;
    bool locked;

    failed_mac(c, t, mac);
    mutex_lock(&c->lock);
    v = map_get(c->failed, slice_of(mac, sizeof(mac)));
    locked = v != NULL && v->failures >= after && time_mono_us() < v->until_us;
    mutex_unlock(&c->lock);
    return locked;
}

void cache_failed(struct cache *c, const struct attempt *t, unsigned seconds)
{
    unsigned char mac[MAC_BYTES];
    uint64_t now = time_mono_us();
    struct entry *v;

    failed_mac(c, t, mac);
    mutex_lock(&c->lock);
    v = map_get(c->failed, slice_of(mac, sizeof(mac)));
    if (v == NULL) {
        make_room(&c->failed);
        v = mem_zalloc(sizeof(*v));
        (void)map_put(c->failed, slice_of(mac, sizeof(mac)), v);
    }
    if (now >= v->until_us)
        v->failures = 0;
    v->failures++;
    v->until_us = now + (uint64_t)seconds * 1000000;
    mutex_unlock(&c->lock);
}

void cache_succeeded(struct cache *c, const struct attempt *t)
{
    unsigned char mac[MAC_BYTES];

    failed_mac(c, t, mac);
    mutex_lock(&c->lock);
    mem_free(map_remove(c->failed, slice_of(mac, sizeof(mac))));
    mutex_unlock(&c->lock);
}
