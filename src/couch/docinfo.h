/* couch/docinfo.h: what LevelDB keeps of a document, what a log record of it holds, and the bytes
 * of a body. Pure encoding and decoding (docs/format.md "Documents").
 *
 * doc-info ('i' row):  varint seq, varint docnum, flags(1 deleted, 2 conflicts, 4 attachments),
 *     pointer(20) of the winner's body, with flag 4: varint n, n x (varint leaf, varint segment,
 *     varint bytes), tree (revtree_encode, absolute pointers; the winner's revision is in it). A
 *     leaf is named by its place among the leaves, winner first.
 * changes row ('s'):   flags, pointer(20) of the winner's body, varint gen, rev-id flag byte,
 *     varint id len, id, varint docnum, docid (the rest)
 * LOG_DOC body:        varint docid len, docid, varint update_seq, varint prev_seq, varint docnum,
 *     varint doc_count, varint del_count, varint external_bytes (of the database, after this op),
 *     tree with SEG_SELF pointers for bodies in this record (off counts from the record body's
 *     first byte), then the bodies: region, region, ... attachment bytes
 * body region:         varint json len, json, varint n, n x attachment; a pointer to a body names
 *     the region's bytes. Attachment: varint name len, name, varint type len, type, varint revpos,
 *     md5(16), varint len, varint encoding (0 identity, 1 gzip), varint encoded len, pointer(20) of
 *     its bytes. A SEG_SELF attachment pointer's off counts from the region's first byte (the
 *     bytes follow it in the same record). In a blob: segment is its id, off and length are 0, and
 *     the CRC is the one in the blob's footer.
 * The json of a body is the document's object without the special members, compact.
 * docnum: the update_seq of the document's first commit: its stable number inside the database.
 */
#ifndef COUCH_DOCINFO_H
#define COUCH_DOCINFO_H
#include "couch/revtree.h"

enum docinfo_flag { DOCINFO_DELETED = 1, DOCINFO_CONFLICTS = 2 };
enum att_encoding { ATT_IDENTITY = 0, ATT_GZIP = 1 };

struct att {
    struct slice name, type;
    uint32_t revpos;
    unsigned char md5[16]; /* of the bytes as stored */
    uint64_t len;          /* identity length */
    enum att_encoding encoding;
    uint64_t stored_len; /* == len for identity */
    struct seg_ptr ptr;  /* absolute after doc_body_decode; seg_is_blob(seg): off and len are 0 */
    struct slice data;   /* when writing new bytes: what to store; else empty with p == NULL */
};

/* Where the bytes of a leaf's attachments lie: for the accounts of segments and for compaction,
 * which need not read bodies to know. */
struct docinfo_att {
    uint32_t node; /* a leaf of the tree */
    uint64_t seg, bytes;
};
struct docinfo {
    uint64_t seq, docnum;
    unsigned flags;
    struct seg_ptr winner_ptr;
    struct revtree tree;
    struct docinfo_att *atts;
    uint32_t natts;
};
void docinfo_encode(const struct docinfo *d,
                    struct buf *out); /* sets nothing; tree must be absolute */
enum status docinfo_decode(struct arena *a, struct slice v, struct docinfo *out,
                           struct err *e) MUST_CHECK;
/* Only the head and the winner's revision: what _all_docs needs of a row. Cheap for one-leaf
 * documents. */
struct docinfo_head {
    uint64_t seq, docnum;
    unsigned flags;
    struct seg_ptr winner_ptr;
    struct rev winner;
};
enum status docinfo_head_decode(struct arena *a, struct slice v, struct docinfo_head *out,
                                struct err *e) MUST_CHECK;

struct seqrow {
    uint64_t docnum;
    unsigned flags;
    struct seg_ptr winner_ptr;
    struct rev winner;
    struct slice docid;
};
void seqrow_encode(const struct seqrow *r, struct buf *out);
enum status seqrow_decode(struct slice v, struct seqrow *out,
                          struct err *e) MUST_CHECK; /* borrows */

struct doc_body {
    struct slice json;
    struct att *atts;
    uint32_t natts;
};
/* The region's bytes: json and attachment table; attachments with data get SEG_SELF pointers
 * behind the region, in order. The data itself is appended by the caller after the region. */
void doc_body_encode(const struct doc_body *b, struct buf *out);
/* region: the bytes; at: where they lie, to make SEG_SELF attachment pointers absolute. Borrows. */
enum status doc_body_decode(struct arena *a, struct slice region, const struct seg_ptr *at,
                            struct doc_body *out, struct err *e) MUST_CHECK;

/* A LOG_DOC record as one value; encode writes head, tree, then each body with its data. */
struct doc_record {
    struct slice docid;
    uint64_t seq, prev_seq, docnum;
    uint64_t doc_count, del_count, external_bytes;
    struct revtree *tree;
};
/* Writes everything before the regions. `regions` is the size that follows; the SEG_SELF pointers
 * of the tree must be relative to the first region on entry and come out relative to the body.
 * Since the head's length depends on them only through fixed-size pointers, one pass is enough. */
void doc_record_encode_head(struct doc_record *r, struct buf *out);
enum status doc_record_decode(struct arena *a, struct slice body, struct doc_record *out,
                              struct revtree *tree, struct err *e) MUST_CHECK;
/* Makes SEG_SELF pointers of the tree absolute: seg, and off + body_off. */
void revtree_resolve(struct revtree *t, uint64_t seg, uint32_t body_off);
#endif
