/* couch/doc_write.h: from a client's document to operations for the committer (couchdb-surface A.6,
 * A.7, A.10, A.11, C.3, C.4). Runs on workers; reads LevelDB, never writes.
 */
#ifndef COUCH_DOC_WRITE_H
#define COUCH_DOC_WRITE_H
#include "couch/db.h"
#include "json/json.h"

/* CouchDB's rules for ids; err.word illegal_docid. `local` ids are checked without the prefix. */
enum status doc_id_check(struct slice id, struct err *e) MUST_CHECK;

/* Who writes, for those who check documents. */
struct doc_user {
    struct slice name; /* empty: nobody */
    const struct slice *roles;
    size_t nroles;
};
struct doc_edit {
    struct slice id;  /* from the URL; empty: the document's _id, or none: a generated one */
    struct slice rev; /* from ?rev= or If-Match; empty: the document's _rev. Both and different:
                400 "Document rev from request body and query string have different values" */
    bool new_edits;
    bool delete_it;         /* DELETE: the body is {} with _deleted */
    const struct json *doc; /* object; NULL only with delete_it or att */
    /* Standalone attachment: put (what att_upload_end filled, and name and type) or delete
     * (att_delete), other members and attachments carried over from the parent. */
    const struct att *att;
    bool att_delete;
    /* A multipart request, or a copy: what att_upload_end filled for the attachments that say
     * "follows":true, in the order in which the document names them; as many as it names. Or the
     * entry of another document: then they share the blob; what lies in the log has to be in data.
     * NULL: no such request. Borrowed until the operation is done. */
    const struct att *follows;
    uint32_t nfollows;
    const struct doc_user *user; /* NULL: the server itself */
};
/* What looks at every prepared document before it is submitted (mango/validate.h): ST_FORBIDDEN
 * refuses it. Set once, before serving. */
typedef enum status (*doc_validator_fn)(void *arg, const struct commit_op *op,
                                        const struct doc_user *user, struct err *e);
void store_set_validator(struct store *s, doc_validator_fn fn, void *arg);
enum status store_validate(struct store *s, const struct commit_op *op, const struct doc_user *user,
                           struct err *e) MUST_CHECK; /* for doc_edit_prepare */
/* The largest document, in bytes of JSON; LIMIT_DOC_BYTES when it is not set. While serving. */
void store_set_max_doc(struct store *s, uint32_t bytes);
uint32_t store_max_doc(struct store *s);
/* Likewise the longest attachment: [couchdb] max_attachment_size. */
void store_set_max_att(struct store *s, uint64_t bytes);
uint64_t store_max_att(struct store *s);
/* Validates and fills op (kind COMMIT_DOC or COMMIT_LOCAL; arena memory; op->db borrowed). What is
 * wrong with the document itself (the 400s, 413) is returned; a conflict that can be seen already,
 * a missing stub, a deleted document to delete (404) as well. The caller decides which of them fail
 * one row and which the request: doc_error_is_row(). */
enum status doc_edit_prepare(struct db *db, struct arena *a, const struct doc_edit *ed,
                             struct commit_op *op, struct err *e) MUST_CHECK;
/* What doc_edit_prepare would say of id and revision of an interactive edit, before there is
 * anything else of it: a large upload that would be in vain is refused early. */
enum status doc_edit_check(struct db *db, struct arena *a, const struct doc_edit *ed,
                           struct err *e) MUST_CHECK;
/* For _bulk_docs: conflicts, missing documents and missing stubs concern one row. */
bool doc_error_is_row(enum status st);
/* id and rev text of a prepared operation, for the answer; local ids come with "_local/". */
struct slice doc_op_id(struct arena *a, const struct commit_op *op);
struct slice doc_op_rev(struct arena *a, const struct commit_op *op);
/* 32 hex digits: 26 random ones of this process and an increasing tail (CouchDB "sequential"). */
void doc_uuid(char out[33]);
#endif
