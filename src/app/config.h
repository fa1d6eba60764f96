/* app/config.h: the command line, the environment and the ini file become one struct. The ini file
 * uses CouchDB's section and key names where CouchDB has them. */
#ifndef APP_CONFIG_H
#define APP_CONFIG_H
#include "auth/auth.h"
#include "base/arena.h"
#include "base/status.h"
#include "http/http.h"

enum command { CMD_SERVE, CMD_CHECK, CMD_BACKUP, CMD_VERIFY, CMD_RESTORE, CMD_VERSION, CMD_HELP };
enum { CONFIG_ADMINS_MAX = 16 };

struct config_admin {
    struct slice name, password; /* clear text or CouchDB's hash */
};
struct config {
    struct arena *arena;
    enum command command;
    const char *data;                              /* serve, check, backup, restore */
    const char *backup;                            /* backup, restore */
    const char *bind;                              /* [chttpd] bind_address, 127.0.0.1 */
    bool salvage;                                  /* serve --salvage */
    unsigned port;                                 /* [chttpd] port, 5984 */
    struct config_admin admins[CONFIG_ADMINS_MAX]; /* [admins], and --admin-user */
    unsigned nadmins;
    double target_recall;     /* [vector] target_recall */
    struct auth_options auth; /* [chttpd_auth], [chttpd_auth_lockout], [jwt_keys], [jwt_auth] */
    struct web_options web;   /* [chttpd], [cors] */
    uint64_t max_att;         /* [couchdb] max_attachment_size */
    uint32_t max_doc;         /* [couchdb] max_document_size */
    unsigned log_level;       /* [log] level: error warning info debug */
};
/* ST_BAD_REQUEST: what is wrong with the command line or the file, in words for the user. */
enum status config_load(struct config *cfg, int argc, char **argv, struct err *e) MUST_CHECK;
void config_free(struct config *cfg);
extern const char config_help[];
/* One option, with the file's names; the value is kept. */
enum status config_set(struct config *c, struct slice section, struct slice key, struct slice value,
                       struct err *e) MUST_CHECK;
/* As text, of an option that settings.c lists. */
struct slice config_get(const struct config *c, const char *section, const char *key,
                        struct arena *a);
typedef enum status (*config_option_fn)(void *arg, struct slice section, struct slice key,
                                        struct slice value, struct err *e);
enum status config_parse_ini(struct slice text, config_option_fn fn, void *arg,
                             struct err *e) MUST_CHECK;
#endif
