/* app/config.c: reading the configuration. Later sources win: defaults, ini file, command line. */
#include "app/config.h"

#include <stdio.h>
#include <stdlib.h>

#include "app/config_auth.h"
#include "base/fs.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/text.h"

const char config_help[] =
    "Divan: a document database that speaks CouchDB's protocol and searches by meaning.\n"
    "\n"
    "  divan serve --data DIR [--bind ADDR] [--port N] [--config FILE] [--admin-user NAME]\n"
    "              [--salvage]\n"
    "  divan check DATA     verify a data directory (the server must be stopped)\n"
    "  divan backup DATA DEST      copy a data directory, of a running server too; again into the\n"
    "                              same DEST: only what is new\n"
    "  divan backup --verify DEST  read all of it and compare checksums\n"
    "  divan restore BACKUP DATA   bring it back into an empty or new directory\n"
    "  divan version\n"
    "  divan --help\n"
    "\n"
    "serve needs an admin: DIVAN_ADMIN_PASSWORD in the environment, or the first line of the file\n"
    "that DIVAN_ADMIN_PASSWORD_FILE names, is the password of --admin-user (default: admin); or "
    "an\n"
    "[admins] section in the configuration file. Passwords are never taken from the command line.\n"
    "--salvage starts although acknowledged data is damaged: all that can be read is kept, what "
    "is\n"
    "lost is listed in DATA/<n>/salvage-<time>.txt, damaged files are kept in quarantine.\n"
    "SIGTERM stops it: what is in flight is finished first.\n";

enum { INI_BYTES_MAX = 1 << 20, PASSWORD_FILE_MAX = 4096 };

static enum status add_admin(struct config *c, struct slice name, struct slice password,
                             struct err *e)
{
    if (c->nadmins == CONFIG_ADMINS_MAX)
        return err_set(e, ST_BAD_REQUEST, "more than %d admins", CONFIG_ADMINS_MAX);
    c->admins[c->nadmins++] = (struct config_admin){name, password};
    return ST_OK;
}

static enum status read_small_file(struct config *c, const char *path, size_t max,
                                   struct slice *out, struct err *e)
{
    struct buf b;
    enum status st;

    buf_init(&b, max);
    st = fs_read_file(path, &b, e);
    if (st == ST_OK)
        *out = arena_dup(c->arena, buf_slice(&b));
    buf_free(&b);
    return st;
}

/* ---- ini ---- */

static enum status set_port(struct config *c, struct slice v, struct err *e)
{
    uint64_t n;

    if (!parse_u64(v, &n) || n < 1 || n > 65535)
        return err_set(e, ST_BAD_REQUEST, "port must be a number from 1 to 65535, not \"%.*s\"",
                       (int)v.n, v.p);
    c->port = (unsigned)n;
    return ST_OK;
}

static enum status set_recall(struct config *c, struct slice v, struct err *e)
{
    char *end;
    const char *text = arena_cstr(c->arena, v);

    c->target_recall = strtod(text, &end);
    if (*end != '\0' || !(c->target_recall >= 0.5 && c->target_recall <= 0.999))
        return err_set(e, ST_BAD_REQUEST, "target_recall must be between 0.5 and 0.999");
    return ST_OK;
}

static const char *const levels[] = {"error", "warning", "info", "debug"};

static enum status set_level(struct config *c, struct slice v, struct err *e)
{
    for (unsigned i = 0; i < 4; i++)
        if (slice_eq(v, slice_str(levels[i]))) {
            c->log_level = i;
            return ST_OK;
        }
    return err_set(e, ST_BAD_REQUEST, "log level must be error, warning, info or debug");
}

static enum status set_max_doc(struct config *c, struct slice v, struct err *e)
{
    uint64_t n;

    if (!parse_u64(v, &n) || n < 1 || n > LIMIT_DOC_BYTES_MAX)
        return err_set(e, ST_BAD_REQUEST, "max_document_size must be a number from 1 to %d",
                       LIMIT_DOC_BYTES_MAX);
    c->max_doc = (uint32_t)n;
    return ST_OK;
}

static enum status set_max_att(struct config *c, struct slice v, struct err *e)
{
    uint64_t n = LIMIT_ATT_BYTES_MAX;

    if (!slice_eq(v, SLICE_LIT("infinity")) &&
        (!parse_u64(v, &n) || n < 1 || n > LIMIT_ATT_BYTES_MAX))
        return err_set(e, ST_BAD_REQUEST,
                       "max_attachment_size must be a number from 1 to %llu, or infinity",
                       (unsigned long long)LIMIT_ATT_BYTES_MAX);
    c->max_att = n;
    return ST_OK;
}

enum status config_set(struct config *c, struct slice section, struct slice key, struct slice value,
                       struct err *e)
{
    bool known;

    if (slice_eq(section, SLICE_LIT("admins")))
        return add_admin(c, key, value, e);
    if (slice_eq(section, SLICE_LIT("couchdb")) && slice_eq(key, SLICE_LIT("max_document_size")))
        return set_max_doc(c, value, e);
    if (slice_eq(section, SLICE_LIT("couchdb")) && slice_eq(key, SLICE_LIT("max_attachment_size")))
        return set_max_att(c, value, e);
    if (slice_eq(section, SLICE_LIT("chttpd")) && slice_eq(key, SLICE_LIT("port")))
        return set_port(c, value, e);
    if (slice_eq(section, SLICE_LIT("chttpd")) && slice_eq(key, SLICE_LIT("bind_address"))) {
        c->bind = arena_cstr(c->arena, value);
        return ST_OK;
    }
    if (slice_eq(section, SLICE_LIT("vector")) && slice_eq(key, SLICE_LIT("target_recall")))
        return set_recall(c, value, e);
    if (slice_eq(section, SLICE_LIT("log")) && slice_eq(key, SLICE_LIT("level")))
        return set_level(c, value, e);
    TRY(config_auth_set(c, section, arena_cstr(c->arena, key), value, &known, e));
    if (!known)
        log_warn("configuration: [%.*s] %.*s is not known here and ignored", (int)section.n,
                 section.p, (int)key.n, key.p);
    return ST_OK;
}

struct slice config_get(const struct config *c, const char *section, const char *key,
                        struct arena *a)
{
    if (strcmp(key, "level") == 0)
        return slice_str(levels[c->log_level]);
    if (strcmp(key, "max_document_size") == 0)
        return arena_printf(a, "%u", c->max_doc);
    if (strcmp(key, "max_attachment_size") == 0)
        return arena_printf(a, "%llu", (unsigned long long)c->max_att);
    return config_auth_get(c, section, key, a);
}

static struct slice trim_line(struct slice s)
{
    while (s.n != 0 && (s.p[s.n - 1] == '\r' || s.p[s.n - 1] == '\n'))
        s.n--;
    return slice_trim(s);
}

enum status config_parse_ini(struct slice text, config_option_fn fn, void *arg, struct err *e)
{
    struct slice section = SLICE_LIT("");

    for (unsigned line_no = 1; text.n != 0; line_no++) {
        const char *nl = memchr(text.p, '\n', text.n);
        size_t len = nl != NULL ? (size_t)(nl - text.p) + 1 : text.n;
        struct slice line = trim_line(slice_of(text.p, len));
        const char *eq;

        text = slice_of(text.p + len, text.n - len);
        if (line.n == 0 || line.p[0] == ';' || line.p[0] == '#')
            continue;
        if (line.p[0] == '[' && line.p[line.n - 1] == ']') {
            section = slice_trim(slice_of(line.p + 1, line.n - 2));
            continue;
        }
        eq = memchr(line.p, '=', line.n);
        if (eq == NULL)
            return err_set(e, ST_BAD_REQUEST, "configuration line %u has no '='", line_no);
        TRY(fn(arg, section, slice_trim(slice_of(line.p, (size_t)(eq - line.p))),
               slice_trim(slice_of(eq + 1, (size_t)(line.p + line.n - eq - 1))), e));
    }
    return ST_OK;
}

static enum status set_option(void *arg, struct slice section, struct slice key, struct slice value,
                              struct err *e)
{
    return config_set(arg, section, key, value, e);
}

static enum status note_admin(void *arg, struct slice section, struct slice key, struct slice value,
                              struct err *e)
{
    bool *some = arg;

    (void)key, (void)value, (void)e;
    *some |= slice_eq(section, SLICE_LIT("admins"));
    return ST_OK;
}

/* Whether an admin was made over HTTP (settings.c). */
static enum status has_local_admin(struct config *c, bool *some, struct err *e)
{
    char path[4096];
    int n = snprintf(path, sizeof(path), "%s/local.ini", c->data);
    struct slice text;

    *some = false;
    if (n < 0 || (size_t)n >= sizeof(path) || !fs_exists(path))
        return ST_OK;
    TRY(read_small_file(c, path, INI_BYTES_MAX, &text, e));
    return config_parse_ini(text, note_admin, some, e);
}

/* ---- command line ---- */

struct args {
    int argc, at;
    char **argv;
    const char *config_file, *admin_user, *bind, *port;
};

static enum status take_value(struct args *a, const char **out, struct err *e)
{
    if (a->at + 1 >= a->argc)
        return err_set(e, ST_BAD_REQUEST, "%s needs a value", a->argv[a->at]);
    *out = a->argv[++a->at];
    return ST_OK;
}

static enum status parse_serve(struct config *c, struct args *a, struct err *e)
{
    const struct {
        const char *name;
        const char **value;
    } options[] = {{"--data", &c->data},
                   {"--bind", &a->bind},
                   {"--port", &a->port},
                   {"--config", &a->config_file},
                   {"--admin-user", &a->admin_user}};

    for (a->at = 2; a->at < a->argc; a->at++) {
        size_t i = 0;

        if (strcmp(a->argv[a->at], "--salvage") == 0) {
            c->salvage = true;
            continue;
        }

        while (i < sizeof(options) / sizeof(options[0]) &&
               strcmp(options[i].name, a->argv[a->at]) != 0)
            i++;
        if (i == sizeof(options) / sizeof(options[0]))
            return err_set(e, ST_BAD_REQUEST, "unknown option %s (see divan --help)",
                           a->argv[a->at]);
        TRY(take_value(a, options[i].value, e));
    }
    if (c->data == NULL)
        return err_set(e, ST_BAD_REQUEST, "serve needs --data DIR (see divan --help)");
    return ST_OK;
}

/* Blanks belong to a password, line ends do not. */
static struct slice first_line(struct slice s)
{
    const char *nl = s.n != 0 ? memchr(s.p, '\n', s.n) : NULL;

    if (nl != NULL)
        s.n = (size_t)(nl - s.p);
    if (s.n != 0 && s.p[s.n - 1] == '\r')
        s.n--;
    return s;
}

static enum status admin_from_environment(struct config *c, const char *user, struct err *e)
{
    const char *password = getenv("DIVAN_ADMIN_PASSWORD");  /* NOLINT(concurrency-mt-unsafe) */
    const char *file = getenv("DIVAN_ADMIN_PASSWORD_FILE"); /* NOLINT(concurrency-mt-unsafe) */
    struct slice p;

    if (password != NULL)
        return add_admin(c, slice_str(user), slice_str(password), e);
    if (file == NULL)
        return ST_OK;
    TRY(read_small_file(c, file, PASSWORD_FILE_MAX, &p, e));
    return add_admin(c, slice_str(user), first_line(p), e);
}

static enum status load_serve(struct config *c, struct args *a, struct err *e)
{
    struct slice text;
    bool local;

    TRY(parse_serve(c, a, e));
    if (a->config_file != NULL) {
        TRY(read_small_file(c, a->config_file, INI_BYTES_MAX, &text, e));
        TRY(config_parse_ini(text, set_option, c, e));
    }
    if (a->bind != NULL)
        c->bind = a->bind;
    if (a->port != NULL)
        TRY(set_port(c, slice_str(a->port), e));
    TRY(admin_from_environment(c, a->admin_user != NULL ? a->admin_user : "admin", e));
    TRY(has_local_admin(c, &local, e));
    if (c->nadmins == 0 && !local)
        return err_set(e, ST_BAD_REQUEST,
                       "there is no admin, and without one Divan does not serve. Put a password "
                       "into the environment variable DIVAN_ADMIN_PASSWORD (its user is "
                       "--admin-user, default \"admin\"), or give a --config FILE with an [admins] "
                       "section");
    return ST_OK;
}

static enum status load_backup(struct config *cfg, int argc, char **argv, struct err *e)
{
    bool restore = strcmp(argv[1], "restore") == 0;

    if (argc != 4)
        return err_set(e, ST_BAD_REQUEST, "%s takes two directories (see divan --help)", argv[1]);
    cfg->command = restore ? CMD_RESTORE : CMD_BACKUP;
    cfg->data = argv[restore ? 3 : 2];
    cfg->backup = argv[restore ? 2 : 3];
    if (!restore && strcmp(cfg->data, "--verify") == 0)
        cfg->command = CMD_VERIFY;
    return ST_OK;
}

enum status config_load(struct config *cfg, int argc, char **argv, struct err *e)
{
    struct args a = {.argc = argc, .argv = argv};
    const char *cmd = argc > 1 ? argv[1] : "--help";

    if (argc > 2 && strcmp(argv[2], "--help") == 0) /* divan serve --help */
        cmd = "--help";
    *cfg = (struct config){.arena = arena_new(), .bind = "127.0.0.1", .port = 5984};
    cfg->log_level = LOG_INFO_;
    cfg->max_doc = LIMIT_DOC_BYTES;
    cfg->max_att = LIMIT_ATT_BYTES;
    config_auth_default(cfg);
    if (strcmp(cmd, "serve") == 0)
        return load_serve(cfg, &a, e);
    if (strcmp(cmd, "check") == 0) {
        cfg->command = CMD_CHECK;
        if (argc != 3)
            return err_set(e, ST_BAD_REQUEST, "check takes one data directory");
        cfg->data = argv[2];
        return ST_OK;
    }
    if (strcmp(cmd, "backup") == 0 || strcmp(cmd, "restore") == 0)
        return load_backup(cfg, argc, argv, e);
    cfg->command =
        strcmp(cmd, "version") == 0 || strcmp(cmd, "--version") == 0 ? CMD_VERSION : CMD_HELP;
    if (cfg->command == CMD_HELP && argc > 1 && strcmp(cmd, "--help") != 0 &&
        strcmp(cmd, "help") != 0)
        return err_set(e, ST_BAD_REQUEST, "unknown command %s (see divan --help)", cmd);
    return ST_OK;
}

void config_free(struct config *cfg)
{
    arena_free(cfg->arena);
    cfg->arena = NULL;
}
