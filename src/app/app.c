/* app/app.c: what depends on what, in one place. Lower layers do not see the configuration. */
#include "app/app.h"

#include <stdio.h>

#include "app/settings.h"
#include "auth/auth.h"
#include "base/alloc.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"
#include "couch/stores.h"
#include "http/http.h"
#include "mango/validate.h"
#include "repl/repl.h"
#include "vector/vector.h"

struct app {
    struct auth *auth;
    struct settings *settings;
    struct web web;
    struct validators *validators;
    struct stores *stores;
    struct vectors *vectors;
    struct repl *repl;
    struct http *http;
};

/* The secret lies beside the store: cookies outlive a restart and nobody else can make them. */
static enum status attach_auth(struct app *app, const struct config *cfg, struct err *e)
{
    char file[4096];
    int n = snprintf(file, sizeof(file), "%s/secret", cfg->data);

    if (n < 0 || (size_t)n >= sizeof(file))
        return err_set(e, ST_BAD_REQUEST, "the name of the data directory is too long");
    if (cfg->web.cors && cfg->web.cors_credentials && cfg->web.cors_origins.n != 0 &&
        memchr(cfg->web.cors_origins.p, '*', cfg->web.cors_origins.n) != NULL)
        log_warn("cors: credentials go to origins that are named, not to those that * lets in");
    return auth_attach(app->auth, app->stores, file, e);
}

static enum status start_layers(struct app *app, const struct config *cfg, struct err *e)
{
    struct vectors_options vo = {.target_recall = cfg->target_recall};
    struct store_options so = {.dir = cfg->data, .salvage = cfg->salvage};
    struct http_options ho = {.bind = cfg->bind, .port = (uint16_t)cfg->port};

    TRY(fs_mkdirs(cfg->data, e));
    TRY(stores_open(&so, &app->stores, e));
    app->validators = validators_new(app->stores);
    TRY(attach_auth(app, cfg, e));
    TRY(settings_start(cfg, app->auth, app->stores, &app->web, &app->settings, e));
    TRY(vectors_open(app->stores, &vo, &app->vectors, e));
    app->repl = repl_new(app->stores);
    ho.services = (struct services){app->stores, app->vectors, app->repl,
                                    app->auth,   &app->web,    settings_ops(app->settings)};
    return http_start(&ho, &app->http, e);
}

enum status app_start(struct app **out, const struct config *cfg, struct err *e)
{
    struct app *app = mem_zalloc(sizeof(*app));
    enum status st;

    *out = app;
    log_set_level((enum log_level)cfg->log_level);
    app->auth = auth_new(&cfg->auth);
    st = start_layers(app, cfg, e);
    if (st == ST_OK)
        log_info("Divan serves http://%s:%u/ from %s", cfg->bind, cfg->port, cfg->data);
    return st;
}

/* Replications end first: a request may be parked on one, and http waits for its requests. */
void app_stop(struct app *app)
{
    if (app == NULL)
        return;
    if (app->repl != NULL)
        repl_stop(app->repl);
    http_stop(app->http);
    repl_free(app->repl);
    vectors_close(app->vectors);
    stores_close(app->stores);
    validators_free(app->validators);
    settings_free(app->settings);
    auth_free(app->auth);
    mem_free(app);
}

/* ---- check ---- */

static void print_finding(void *arg, const char *text)
{
    printf("%s: %s\n", (const char *)arg, text);
}

struct vector_check {
    const char *data;
    uint64_t stale;
    struct err *e;
};

/* The indexes of one store: folders with a number for a name. */
static enum status check_vectors(void *arg, const char *name)
{
    struct vector_check *c = arg;
    char dir[4096], warning[] = "warning (the index will be rebuilt)";
    uint64_t stale = 0, number;

    if (!parse_u64(slice_str(name), &number))
        return ST_OK;
    (void)snprintf(dir, sizeof(dir), "%s/%s", c->data, name);
    TRY(vectors_check(dir, print_finding, warning, &stale, c->e));
    c->stale += stale;
    return ST_OK;
}

int app_check(const char *data)
{
    char damage[] = "damage";
    uint64_t bad = 0;
    struct err e;
    struct vector_check vectors = {.data = data, .e = &e};

    log_set_level(LOG_WARN_);
    if (store_check(data, print_finding, damage, &bad, &e) != ST_OK ||
        fs_list(data, check_vectors, &vectors, &e) != ST_OK) {
        fprintf(stderr, "divan check: %s\n", e.reason);
        return 2;
    }
    printf("%s: %llu findings of damage, %llu index warnings\n", data, (unsigned long long)bad,
           (unsigned long long)vectors.stale);
    return bad == 0 ? 0 : 1;
}
