/* base/limits.h: every bound on input, in one place. Each has the error that passing it gives. */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

/* Sizes of pieces of work, small in the build that tests/kill uses: half a second of it then rolls
 * the log, replays in several batches, flushes and merges vectors and builds graphs. */
#ifdef DIVAN_KILL_POINTS
#define LIMIT_SEGMENT_BYTES    (1u << 20)
#define LIMIT_REPLAY_RECORDS   50
#define LIMIT_DROP_CHUNK       20
#define LIMIT_MEMTABLE_VECTORS 100
#define LIMIT_GRAPH_ROWS       300
#define LIMIT_ASKED_GRACE_US   5000
#else
#define LIMIT_SEGMENT_BYTES    (64u << 20) /* roll after this */
#define LIMIT_REPLAY_RECORDS   1000        /* records of one batch of recovery */
#define LIMIT_DROP_CHUNK       1000        /* rows of a dropped database deleted in one batch */
#define LIMIT_MEMTABLE_VECTORS 8192
#define LIMIT_GRAPH_ROWS       10000  /* a vector segment of fewer has no graph */
#define LIMIT_ASKED_GRACE_US   100000 /* a segment that _compact emptied stays for as long */
#endif

/* HTTP (http/) */
#define LIMIT_URI_BYTES          8000         /* 414 too_long */
#define LIMIT_REQUEST_BYTES      (64u << 20)  /* 413 too_large */
#define LIMIT_HEAVY_BODY         (1u << 20)   /* from here on small requests go first */
#define LIMIT_AT_ONCE_BYTES      (64u << 10)  /* a larger document is read by a worker */
#define LIMIT_INFLIGHT_BYTES     (512u << 20) /* 503 for all requests' bodies together */
#define LIMIT_CONNECTIONS        16384        /* fewer when the process may open fewer files */
#define LIMIT_CONN_MEMORY        (33u << 10)  /* above 32 KiB it is mapped, and goes back */
#define LIMIT_STREAM_CHUNK       (128u << 10) /* bytes a stream prepares ahead */
#define LIMIT_BUFFERED_BYTES     (16u << 20)  /* buffer_response=true: larger answers stream */
#define LIMIT_UUIDS              1000         /* 400 */
#define LIMIT_KEYS               10000        /* 400: keys of _all_docs, _bulk_get, ... */
#define LIMIT_BULK_DOCS          10000        /* 413 */
#define LIMIT_CHANGES_TIMEOUT_MS 60000
#define LIMIT_UPLOAD_BYTES       (4ull << 30) /* 413: a body that is not collected in memory */
#define LIMIT_DRAIN_BYTES        (1u << 30)   /* read and dropped, so that a 413 can be read */
#define LIMIT_HEAD_US            10000000     /* from the first byte to the end of the headers */
#define LIMIT_IDLE_US            120000000    /* a connection without a request */
#define LIMIT_BODY_GRACE_US      10000000     /* after it a body must have come at ... */
#define LIMIT_BODY_BYTES_PER_S   1024         /* ... this average rate */
#define LIMIT_REQUEST_ID_BYTES   36           /* X-Couch-Request-ID that is taken over */

/* JSON (json/) */
#define LIMIT_JSON_DEPTH 100         /* 400 */
#define LIMIT_JSON_BYTES (64u << 20) /* 413 */
#define LIMIT_JSON_NODES (8u << 20)  /* 413: values of one text, 88 bytes each */

/* Documents (couch/) */
#define LIMIT_DOC_BYTES          8000000      /* 413 document_too_large */
#define LIMIT_DOC_BYTES_MAX      60000000     /* to which an admin may raise it */
#define LIMIT_DOCID_BYTES        4096         /* 400 illegal_docid */
#define LIMIT_DBNAME_BYTES       238          /* 400 database_name_too_long */
#define LIMIT_REV_BYTES          256          /* 400: text of a non-hex revision hash */
#define LIMIT_REV_GEN            2000000000u  /* 400 */
#define LIMIT_REVS_PATH          10000        /* 400: _revisions.ids */
#define LIMIT_REVS_DEFAULT       1000         /* revs_limit of a new database */
#define LIMIT_LEAVES             1000         /* 413: leaves of one document */
#define LIMIT_ATTACHMENTS        1000         /* 413: attachments of one document */
#define LIMIT_ATT_BYTES          (1ull << 30) /* 413 attachment_too_large, unless configured ... */
#define LIMIT_ATT_BYTES_MAX      (1ull << 40) /* ... up to this */
#define LIMIT_ATT_INLINE         (64u << 10)  /* larger ones have a blob of their own */
#define LIMIT_ATT_NAME_BYTES     1024
#define LIMIT_CONTENT_TYPE_BYTES 512
#define LIMIT_SECURITY_BYTES     (1u << 20)
#define LIMIT_LOCAL_INLINE       4096 /* larger _local bodies stay in the log */
#define LIMIT_CHANGES_SCAN       1000 /* filtered rows between two looks at the clock */

/* Purges (couch/) */
#define LIMIT_PURGE_DOCS           100     /* 400: documents of one _purge, as CouchDB */
#define LIMIT_PURGE_REVS           1000    /* 400: revisions of one _purge, as CouchDB */
#define LIMIT_PURGED_INFOS         1000000 /* 400: purged_infos_limit */
#define LIMIT_PURGED_INFOS_DEFAULT 1000

/* Log (wal/) */
#define LIMIT_RECORD_BYTES       (64u << 20)     /* body of one record */
#define LIMIT_GROUP_OPS          512             /* records of one group ... */
#define LIMIT_GROUP_BYTES        (1u << 20)      /* ... and bytes, unless one record is larger */
#define LIMIT_ATOMIC_DOCS        LIMIT_GROUP_OPS /* 413: _bulk_docs?atomic=true ... */
#define LIMIT_ATOMIC_BYTES       (32u << 20)     /* ... and their bodies */
#define LIMIT_COMMIT_QUEUE_BYTES (256u << 20)    /* 503 */
#define LIMIT_FREE_BYTES         (512ull << 20)  /* 507: kept free on the disk, or ... */
#define LIMIT_FREE_PERCENT       5               /* ... this much of it when that is less */
#define LIMIT_SHORT_ROOM         (16u << 20)     /* above that: deletes are not mixed with writes */
#define LIMIT_FREE_LAST_PART     4               /* a quarter of that not even deletes may use */
#define LIMIT_OWN_STORES         64              /* 503: databases with a store of their own */

/* Mango (mango/) */
#define LIMIT_SELECTOR_DEPTH   20
#define LIMIT_SELECTOR_CLAUSES 1000
#define LIMIT_FIND_FIELDS      100
#define LIMIT_PATH_SEGMENTS    32

/* Vectors (vector/) */
#define LIMIT_DIMS             8192  /* 400 invalid_index */
#define LIMIT_FIND_RESULTS     10000 /* 400: limit + skip */
#define LIMIT_EFFORT           10000
#define LIMIT_GRAPH_M_MIN      4
#define LIMIT_GRAPH_M_MAX      64
#define LIMIT_GRAPH_EFC_MIN    16
#define LIMIT_GRAPH_EFC_MAX    1000
#define LIMIT_INDEX_FIELDS     16
#define LIMIT_MEMTABLE_BYTES   (16u << 20)
#define LIMIT_FIND_DEADLINE_MS 60000

/* Replication (repl/) */
#define LIMIT_REPL_JOBS           64
#define LIMIT_REPL_RESPONSE_BYTES (256u << 20)

/* Documents, reading and attachments' encodings (couch/) */
#define LIMIT_READ_AHEAD     (256u << 10) /* window over the log of one reader */
#define LIMIT_READ_AHEAD_MIN (4u << 10)   /* its size while reads look random */
#define LIMIT_PENDING_SCAN   20000        /* keys counted for pending; then an estimate */
#define LIMIT_OFFSET_SCAN    20000        /* rows counted for offset; then null */
#define LIMIT_INFLATED_BYTES (256u << 20) /* 413: a gzip attachment inflated in memory */
#define LIMIT_ATT_INFLATED   (4ull << 30) /* a gzip attachment that grows beyond is plain bytes */

/* Revisions (couch/rev*.c, revtree*.c) */
#define LIMIT_REV_INT_DIGITS 1000 /* longer integers are hashed as text */

/* Mango, the details (mango/) */
#define LIMIT_SELECTOR_VALUES 100000   /* 400 bad_arg: values of one $in */
#define LIMIT_PATH_BYTES      8192     /* 400 invalid_field_name */
#define LIMIT_REGEX_BYTES     32768    /* 400 bad_arg: one pattern */
#define LIMIT_REGEX_STEPS     1000000u /* of one match; then it does not match */
#define LIMIT_REGEX_DEPTH     100000u
#define LIMIT_REGEX_HEAP_KIB  8192u /* a worker that matched keeps this much */

/* Multipart (base/multipart.c) */
#define LIMIT_BOUNDARY_BYTES       70                      /* 400 */
#define LIMIT_BOUNDARY_BLANKS      256                     /* after it; more: it is none */
#define LIMIT_MULTIPART_PARTS      (LIMIT_ATTACHMENTS + 1) /* 413: and the document */
#define LIMIT_MULTIPART_HEAD_BYTES 16384                   /* 413: headers of one part */
/* Lists in one request (http/h_queries.c) */
#define LIMIT_QUERIES  100 /* 400: queries of one _all_docs/queries */
#define LIMIT_DBS_INFO 100 /* 400: keys of POST _dbs_info */
/* _db_updates remembers as many dropped databases (couch/updates.c) */
#define LIMIT_GONE_DATABASES 10000

/* Options over HTTP (app/settings.c) */
#define LIMIT_SETTINGS           256 /* 413 */
#define LIMIT_SETTING_BYTES      8192
#define LIMIT_SETTING_NAME_BYTES 128

/* Identity (auth/) */
#define LIMIT_AUTH_CACHE     10000 /* verified passwords, and as many failures, remembered */
#define LIMIT_HASHES_WAITING 32    /* 503: logins that wait for a hash */
#define LIMIT_BULK_PASSWORDS 100   /* 413: passwords to hash in one _bulk_docs */
#define LIMIT_COOKIE_BYTES   4096  /* of one session; a longer one is ignored */
#define LIMIT_TOKEN_BYTES    16384 /* 400: a JWT */
#endif
