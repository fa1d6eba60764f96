/* auth/rights.c: what a security object says. Pure; any thread. */
#include "auth/auth.h"

bool auth_has_role(const struct auth_user *u, struct slice role)
{
    for (size_t i = 0; i < u->nroles; i++)
        if (slice_eq(u->roles[i], role))
            return true;
    return false;
}

static const struct json *list_of(const struct json *group, const char *name)
{
    const struct json *list = json_get(group, name);

    return json_is(list, JSON_ARRAY) && !list->packed ? list : NULL;
}

static bool listed(const struct auth_user *u, const struct json *group)
{
    const struct json *names = list_of(group, "names"), *roles = list_of(group, "roles");

    for (const struct json *v = names != NULL ? names->first : NULL; v != NULL; v = v->next)
        if (u->name.n != 0 && v->type == JSON_STRING && slice_eq(v->text, u->name))
            return true;
    for (const struct json *v = roles != NULL ? roles->first : NULL; v != NULL; v = v->next)
        if (v->type == JSON_STRING && auth_has_role(u, v->text))
            return true;
    return false;
}

bool auth_is_db_admin(const struct auth_user *u, const struct json *sec)
{
    return u->admin || listed(u, json_get(sec, "admins"));
}

/* Nobody named as a member: the database is public, as CouchDB has it. */
bool auth_is_member(const struct auth_user *u, const struct json *sec)
{
    const struct json *m = json_get(sec, "members"), *names, *roles;

    if (m == NULL)
        m = json_get(sec, "readers"); /* its name in old databases */
    names = list_of(m, "names");
    roles = list_of(m, "roles");
    if ((names == NULL || names->count == 0) && (roles == NULL || roles->count == 0))
        return true;
    return listed(u, m) || auth_is_db_admin(u, sec);
}

bool auth_is_users_db(struct slice db_name)
{
    return slice_eq(db_name, SLICE_LIT("_users"));
}
