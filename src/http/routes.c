/* http/routes.c: THE table of endpoints: what exists, and the right each one needs. Default deny:
 * what has no row is 404, and a row must name its right. Literal patterns come before placeholders;
 * the first match wins.
 */
#include "http/handlers.h"
#include "http/router.h"

const struct route routes[] = {
    {M_GET, "/", h_root, NEED_NONE, false, false},
    {M_GET, "/_up", h_up, NEED_NONE, false, false},
    {M_GET, "/_session", h_session, NEED_NONE, false, false},
    {M_GET, "/_uuids", h_uuids, NEED_USER, false, false},
    {M_GET, "/_all_dbs", h_all_dbs, NEED_ADMIN, false, false},
    {M_GET, "/_active_tasks", h_active_tasks, NEED_ADMIN, false, false},
    {M_POST, "/_replicate", h_replicate, NEED_ADMIN, true, false},

    {M_GET, "/{db}", h_db_get, NEED_DB_READER, false, false},
    {M_PUT, "/{db}", h_db_put, NEED_ADMIN, false, false},
    {M_DELETE, "/{db}", h_db_delete, NEED_ADMIN, false, false},
    {M_POST, "/{db}", h_doc_post, NEED_DB_WRITER, true, false},
    {M_GET | M_POST, "/{db}/_all_docs", h_all_docs, NEED_DB_READER, true, false},
    {M_GET | M_POST, "/{db}/_design_docs", h_design_docs, NEED_DB_READER, true, false},
    {M_GET | M_POST, "/{db}/_changes", h_changes, NEED_DB_READER, true, false},
    {M_POST, "/{db}/_bulk_docs", h_bulk_docs, NEED_DB_WRITER, true, false},
    {M_POST, "/{db}/_bulk_get", h_bulk_get, NEED_DB_READER, true, false},
    {M_POST, "/{db}/_revs_diff", h_revs_diff, NEED_DB_READER, true, false},
    {M_POST, "/{db}/_missing_revs", h_missing_revs, NEED_DB_READER, true, false},
    {M_POST, "/{db}/_ensure_full_commit", h_db_ensure_full_commit, NEED_DB_READER, true, false},
    {M_GET, "/{db}/_security", h_db_security_get, NEED_DB_READER, false, false},
    {M_PUT, "/{db}/_security", h_db_security_put, NEED_DB_ADMIN, false, false},
    {M_GET, "/{db}/_revs_limit", h_db_revs_limit_get, NEED_DB_READER, false, false},
    {M_PUT, "/{db}/_revs_limit", h_db_revs_limit_put, NEED_DB_ADMIN, false, false},
    {M_POST, "/{db}/_find", h_find, NEED_DB_READER, true, true},
    {M_POST, "/{db}/_explain", h_explain, NEED_DB_READER, true, true},
    {M_GET, "/{db}/_index", h_index_list, NEED_DB_READER, false, true},
    {M_POST, "/{db}/_index", h_index_create, NEED_DB_ADMIN, true, true},
    {M_DELETE, "/{db}/_index/{ddoc}/{type}/{name}", h_index_delete, NEED_DB_ADMIN, false, true},
    {M_POST, "/{db}/_vector_cleanup", h_vector_cleanup, NEED_DB_ADMIN, true, true},
    {M_POST, "/{db}/_compact/{ddoc}", h_compact_ddoc, NEED_DB_ADMIN, true, true},
    {M_GET, "/{db}/{docid}/_vector_info/{name}", h_vector_info, NEED_DB_READER, false, true},
    {M_GET | M_POST, "/{db}/{docid}/_view/{att*}", h_ddoc_function, NEED_DB_READER, true, false},
    {M_GET | M_POST, "/{db}/{docid}/_list/{att*}", h_ddoc_function, NEED_DB_READER, false, false},
    {M_GET | M_POST, "/{db}/{docid}/_show/{att*}", h_ddoc_function, NEED_DB_READER, false, false},
    {M_POST | M_PUT, "/{db}/{docid}/_update/{att*}", h_ddoc_function, NEED_DB_WRITER, false, false},

    {M_GET, "/{db}/{docid}", h_doc_get, NEED_DB_READER, false, false},
    {M_PUT, "/{db}/{docid}", h_doc_put, NEED_DB_WRITER, false, false},
    {M_DELETE, "/{db}/{docid}", h_doc_delete, NEED_DB_WRITER, false, false},
    {M_GET, "/{db}/{docid}/{att*}", h_att_get, NEED_DB_READER, false, false},
    {M_PUT, "/{db}/{docid}/{att*}", h_att_put, NEED_DB_WRITER, false, false},
    {M_DELETE, "/{db}/{docid}/{att*}", h_att_delete, NEED_DB_WRITER, false, false},
};
const size_t routes_count = sizeof(routes) / sizeof(routes[0]);
