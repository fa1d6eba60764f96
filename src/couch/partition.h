/* couch/partition.h: partitioned databases: every id is "partition:rest", but for design and _local
 * documents. Here a partition is a range of ids and nothing else: one node has all of them. */
#ifndef COUCH_PARTITION_H
#define COUCH_PARTITION_H
#include "couch/db.h"

/* err.word illegal_partition. */
enum status partition_check(struct slice name, struct err *e) MUST_CHECK;
/* An id of a partitioned database; err.word illegal_docid or illegal_partition. */
enum status partition_check_id(struct slice id, struct err *e) MUST_CHECK;

struct partition_info {
    uint64_t docs, deleted;
    uint64_t external; /* JSON of the winners */
};
/* Looks at every row of the partition. */
enum status partition_read(struct db *db, struct slice name, struct partition_info *out,
                           struct err *e) MUST_CHECK;
#endif
