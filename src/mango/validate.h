/* mango/validate.h: validation of documents by selectors: a design document with "language":"query"
 * whose validate_doc_update is a selector over {newDoc, oldDoc, userCtx, secObj}. A write that one
 * of a database's selectors does not match is ST_FORBIDDEN "document is not valid"; design
 * documents and _local documents are not asked about.
 *
 * The store calls this for every prepared operation (store_set_validator), so there is no way to
 * write around it. Compiled selectors are kept per database until one of its design documents
 * changes: the observer forgets them before that change is acknowledged.
 * Threads: any; the observer on the committer.
 */
#ifndef MANGO_VALIDATE_H
#define MANGO_VALIDATE_H
#include "couch/doc_write.h"

struct stores;

struct validators;
struct validators *
validators_new(struct stores *all);         /* before serving; registers with the store */
void validators_free(struct validators *v); /* after the stores are closed; NULL is fine */
#endif
