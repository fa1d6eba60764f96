"""The mutants: one small wrong change to the storage engine each, and the test that must notice.

M(name, test, file, (old, new), ...): every `old` occurs exactly once in the file; `new` takes its place.
test: "unit TOPIC" (tests/unit/test_TOPIC.c), "crash PLAN N" and "inject SCRIPT N" (fault_run with N
states or runs), "api FILE[::TEST]" (pytest against the server).
A mutant that changes nothing anybody could notice does not belong here.
"""

MUTANTS = []


def M(name, test, file, *changes):
    MUTANTS.append((name, test, file, changes))


# ---- what is synced, and when

M("append: no fdatasync", "unit wal_log_file", "src/wal/seg_file.c",
  ("    if (fdatasync(w->fd) != 0) {\n", "    if (w->fd < 0) {\n"))
M("append: fdatasync before the write instead of after", "crash mixed 300", "src/wal/seg_file.c",
  ("    if (write_all(w->fd, iov, n, expect_off, &done) != 0) {",
   "    if (fdatasync(w->fd) != 0 || write_all(w->fd, iov, n, expect_off, &done) != 0) {"),
  ("    if (fdatasync(w->fd) != 0) {\n", "    if (w->fd < 0) {\n"))
M("append: a failed fdatasync is ignored", "unit wal_log_file", "src/wal/seg_file.c",
  ("        seg_file_die(\"fdatasync\", path);\n", "        (void)path;\n"))
M("append: EIO is taken for a full disk", "unit wal_log_file", "src/wal/seg_file.c",
  ("        if (rc != SS_NOSPC)\n            seg_file_die(\"pwritev\", path);\n", ""))
M("append: what did not fit is not cut off", "unit wal_log_file", "src/wal/seg_file.c",
  ("        if (ftruncate(w->fd, expect_off) != 0 || fdatasync(w->fd) != 0)\n",
   "        if (w->fd < 0)\n"))
M("append: a short write counts as whole", "unit wal_log_file", "src/wal/seg_file.c",
  ("        for (skip += (size_t)got; n > 0 && skip >= iov->iov_len; n--, iov++)\n"
   "            skip -= iov->iov_len;",
   "        n -= k;\n        iov += k;\n        skip = 0;"))
M("append: EINTR is an error", "unit wal_log_file", "src/wal/seg_file.c",
  ("        if (got < 0 && errno == EINTR)\n            continue;\n        if (got <= 0) {",
   "        if (got <= 0) {"))
M("segment: its directory is not synced", "crash roll 300", "src/wal/seg_file.c",
  ("    rc = seg_file_sync_log_dir(f, store, e);\n    KILL_POINT(\"seg.create.named\");",
   "    KILL_POINT(\"seg.create.named\");"))
M("STORE: no fdatasync", "crash restarts 300", "src/wal/seg_file_own.c",
  ("    if (fdatasync(fd) != 0)\n        seg_file_die(\"fdatasync\", path);\n", ""))
M("recovery: the tail is not written over itself", "crash sync_fails 200", "src/wal/log_open.c",
  ("    if (rc == SS_OK && !clean)\n        rc = ops->rewrite(", "    if (false)\n        rc = ops->rewrite("))
M("recovery: a torn tail is left in place", "unit wal_log_mem", "src/wal/log_open.c",
  ("    s->len = off;\n    if (file_len != off)", "    off = file_len;\n    if (file_len != off)"))
M("fs: the directory of a new file is not synced", "crash killed_first_start 200", "src/base/fs.c",
  ("    if (fsync(fd) != 0)\n        st = fs_fail(e, \"fsync\", path);\n", ""))

# ---- whose turn it is

M("epoch: not raised", "unit wal_log_file", "src/wal/seg_file_own.c", ("    slot.epoch++;\n", ""))
M("epoch: not compared", "unit wal_file_bad", "src/wal/seg_file_own.c",
  ("    if (find_owned(f, store, epoch) != NULL)\n        return SS_OK;",
   "    if (store != epoch || find_owned(f, store, epoch) != NULL)\n        return SS_OK;"))
M("clean flag: not taken back by the next owner", "crash killed_in_append 200",
  "src/wal/seg_file_own.c", ("    slot.clean = false;\n", ""))
M("LOCK: shared", "unit wal_log_file", "src/wal/seg_file_own.c",
  ("LOCK_EX | LOCK_NB", "LOCK_SH | LOCK_NB"))
M("STORE: the older slot counts", "unit wal_log_file", "src/wal/store_slot.c",
  ("one.generation > s->generation", "one.generation < s->generation"))
M("STORE: a damaged slot is as good as none", "unit wal_file_bad", "src/wal/store_slot.c",
  ("        s->clean = false;\n        s->epoch++;\n", ""))

# ---- the log's bytes

M("record: checksum not compared", "unit wal_frame", "src/wal/frame.c",
  ("    if (get_le32(p) != crc32c(salt,", "    if (salt == 0 && get_le32(p) != crc32c(salt,"))
M("group: checksum not compared", "unit wal_frame", "src/wal/frame.c",
  ("    if (get_le32(p + GROUP_AT_CRC) != crc32c(salt, p, GROUP_AT_CRC))",
   "    if (salt == 0 && get_le32(p + GROUP_AT_CRC) != crc32c(salt, p, GROUP_AT_CRC))"))
M("group: the salt is not in its checksum", "unit wal_frame", "src/wal/frame.c",
  ("    put_le32(out + GROUP_AT_CRC, crc32c(salt, out, GROUP_AT_CRC));",
   "    put_le32(out + GROUP_AT_CRC, crc32c(0, out, GROUP_AT_CRC));"),
  ("    if (get_le32(p + GROUP_AT_CRC) != crc32c(salt, p, GROUP_AT_CRC))",
   "    if (get_le32(p + GROUP_AT_CRC) != crc32c(0 * salt, p, GROUP_AT_CRC))"))
M("group: fewer records than it says", "unit wal_frame", "src/wal/frame.c",
  ("    if (lsn - g->first_lsn != g->nrec || crcs != g->crcs)", "    if (crcs != g->crcs)"))
M("group: cut short but taken", "unit wal_log_mem", "src/wal/walk.c",
  ("    if (s.n - FRAME_GROUP_BYTES < g->payload)", "    if (s.n < FRAME_GROUP_BYTES)"))
M("LSN: off by one", "unit wal_log_mem", "src/wal/log_append.c",
  ("    g.first_lsn = g.durable_lsn + 1;", "    g.first_lsn = g.durable_lsn + 2;"))
M("LSN: a gap inside a segment is fine", "unit wal_file_bad", "src/wal/walk.c",
  ("    if (g->first_lsn != w->next_lsn)\n", "    if (g->first_lsn < w->next_lsn)\n"))
M("damage is taken for a torn tail", "unit wal_log_mem", "src/wal/walk.c",
  ("        if (g.durable_lsn >= w->next_lsn)", "        if (g.durable_lsn > w->next_lsn + 1000000)"))
M("durable LSN: not written", "unit wal_log_mem", "src/wal/log_append.c",
  ("    g.durable_lsn = log_last_lsn(log);\n    g.first_lsn = g.durable_lsn + 1;",
   "    g.first_lsn = log_last_lsn(log) + 1;"))
M("an answer that was lost is taken for success", "unit wal_log_mem", "src/wal/log_append.c",
  ("        rc = settle_unknown(log, niov, total, e);", "        rc = SS_OK;"))
M("after no space the LSN stays in the record", "unit wal_log_mem", "src/wal/log_append.c",
  ("            recs[i].ver = 0;", "            recs[i].ver += 0;"))
M("reserve: everybody may use it", "unit wal_log_file", "src/wal/log_append.c",
  ("            return false;\n    return true;", "            return true;\n    return true;"))
M("reserve: not even deletes may use it", "unit wal_log_file", "src/wal/log_append.c",
  ("    if (makes_room(recs, n) &&", "    if (n > 1000000 && makes_room(recs, n) &&"))
M("read: checksum not compared", "unit wal_log_mem", "src/wal/log_read.c",
  ("    if (crc32c(0, out, p->len) == p->crc)", "    if (p->len != 0)"))

# ---- LevelDB

M("index: LevelDB's own log is believed", "unit kv_kv", "src/kv/kv.c",
  ("    if (!opt->clean)\n        TRY(drop_logs(path, e));\n", ""))
M("barrier: flushes nothing", "unit couch_compact", "src/kv/kv.c",
  ("        ask_flush(kv->db);\n", ""))
M("barrier: a flush that did not begin counts", "unit kv_kv", "src/kv/kv.c",
  ("        if (after > before)\n", "        if (after >= before)\n"))
M("barrier: its error is ignored", "unit kv_kv", "src/kv/kv.c",
  ("    return text == NULL ? ST_OK : kv_fail(e, \"barrier\", text);",
   "    (void)e;\n    leveldb_free(text);\n    return ST_OK;"))
M("stop: called clean without a barrier", "unit couch_store", "src/couch/store.c",
  ("    clean = !atomic_load(&s->in_trouble) && maint_barrier(s, &e) == ST_OK;",
   "    clean = !atomic_load(&s->in_trouble);"))
M("checkpoint: the hint is past the tail", "crash barrier 100", "src/couch/maint.c",
  ("    uint64_t hint = atomic_load(&s->tail_seg);", "    uint64_t hint = 1 + atomic_load(&s->tail_seg);"))

# ---- the committer

M("answered before it is durable", "crash mixed 300", "src/couch/commit_group.c",
  ("    KILL_POINT(\"commit.staged\");\n", "    KILL_POINT(\"commit.staged\");\n    complete(g);\n"),
  ("    complete(g);\n    KILL_POINT(\"commit.answered\");", "    KILL_POINT(\"commit.answered\");"))
M("published before the rows are there", "unit couch_group", "src/couch/commit_group.c",
  ("        apply(g);\n        KILL_POINT(\"commit.applied\");\n        publish(g);\n",
   "        publish(g);\n        KILL_POINT(\"commit.applied\");\n        apply(g);\n"))
M("no space: counts are not taken back", "unit couch_group", "src/couch/commit_group.c",
  ("    unstage_counts(g);\n}\n\n/* WRITE PATH 6/8", "}\n\n/* WRITE PATH 6/8"))
M("no space: the requests are told it went well", "unit couch_group", "src/couch/commit_group.c",
  ("        g->slots[i].op->st = st;\n        g->slots[i].op->err = *e;\n        g->slots[i].op->seq = 0;\n    }\n    unstage",
   "        g->slots[i].op->err = *e;\n        (void)st;\n    }\n    unstage"))
M("edit: any revision may be a parent", "unit couch_commit", "src/couch/commit_doc.c",
  ("        if (*parent < 0 || !t->nodes[*parent].leaf)", "        if (*parent < 0)"))
M("edit: a document is created twice", "unit couch_commit", "src/couch/commit_doc.c",
  ("    if (op->npath == 1 && t->n != 0)\n        return conflict(e);\n", ""))
M("edit: what a worker read is believed, however old", "unit couch_commit", "src/couch/commit_doc.c",
  ("    if (!op->seen.read || g->s->written[h & (STORE_WRITTEN - 1)] > op->seen.lsn)", "    if (!op->seen.read)"))
M("edit: what a worker read is older than it says", "unit couch_commit", "src/couch/commit_doc.c",
  ("    if (!op->seen.read || g->s->written[h & (STORE_WRITTEN - 1)] > op->seen.lsn)",
   "    if (!op->seen.read || g->s->written[h & (STORE_WRITTEN - 1)] > op->seen.lsn + 1)"))
M("edit: writes are not noted", "unit couch_compact", "src/couch/commit_group.c",
  ("        g->s->written[g->recs[i].keyhash & (STORE_WRITTEN - 1)] = g->recs[i].lsn;", "        (void)i;"))
M("record: prev_seq of another document", "crash mixed 300", "src/couch/commit_doc.c",
  ("                                  .prev_seq = was->seq,",
   "                                  .prev_seq = db->staged.update_seq - 1,"))
M("record: counts of before the operation", "unit couch_commit", "src/couch/commit_doc.c",
  ("    commit_count(&db->staged, was, &sl->tree);\n    sl->rec",
   "    struct db_counts before = db->staged;\n    commit_count(&db->staged, was, &sl->tree);\n    sl->rec"),
  (".doc_count = db->staged.docs,", ".doc_count = before.docs,"))
M("database: its number is used again", "unit couch_store", "src/couch/apply.c",
  ("        put_next(ap, rec->dbnum + 1);", "        put_next(ap, rec->dbnum);"))
M("database: its number is used again in one life", "unit couch_store", "src/couch/commit_meta.c",
  ("    s->next_dbnum = sl->row.dbnum + 1;", "    s->next_dbnum = sl->row.dbnum;"))
M("winner: the smaller revision", "unit couch_revtree", "src/couch/revtree.c",
  ("    return rev_cmp(&y->rev, &x->rev);", "    return rev_cmp(&x->rev, &y->rev);"))
M("winner: deleted leaves come first", "unit couch_revtree", "src/couch/revtree.c",
  ("        return x->deleted ? 1 : -1;", "        return x->deleted ? -1 : 1;"))
M("revs_limit: one revision more", "unit couch_revtree", "src/couch/revtree_merge.c",
  ("        if (rank[i] > limit)\n", "        if (rank[i] > limit + 1)\n"),
  ("        if (rank[i] == limit)\n", "        if (rank[i] == limit + 1)\n"),
  ("rank[i] >= limit);", "rank[i] >= limit + 1);"))

# ---- from records to rows

M("apply: the applied LSN is one too high", "crash mixed 200", "src/couch/apply.c",
  ("    put_le64(lsn, ap->lsn);", "    put_le64(lsn, ap->lsn + 1);"))
M("apply: the applied LSN is not written", "unit couch_store", "src/couch/apply.c",
  ("    kv_batch_put(ap->batch, key_store(ap->arena, 'A'), slice_of(lsn, sizeof(lsn)));\n", ""))
M("apply: the old changes row stays", "unit couch_commit", "src/couch/apply.c",
  ("    if (prev != 0)\n        kv_batch_delete(ap->batch, key_seq(ap->arena, rec->dbnum, prev));\n", ""))
M("apply: the drop marker is forgotten", "unit couch_store", "src/couch/apply.c",
  ("        kv_batch_put(ap->batch, key_dropping(ap->arena, rec->dbnum), SLICE_LIT(\"\"));\n", ""))
M("apply: accounts keep what a record replaces", "unit couch_compact", "src/couch/apply.c",
  ("    if (row.n != 0)\n        accounts_doc(ap->accounts, rec->dbnum, d->docid.n, row.n, &old, -1);\n", ""))
M("drops: the marker goes before the rows", "unit couch_store", "src/couch/maint.c",
  ("    if (st == ST_OK && n < LIMIT_DROP_CHUNK) {\n        kv_batch_delete(b, key_dropping(a, dbnum));",
   "    if (st == ST_OK) {\n        kv_batch_delete(b, key_dropping(a, dbnum));"))
M("recovery: a log that was rolled back is fine", "unit couch_store", "src/couch/recover.c",
  ("    if (applied > log_last_lsn(s->log))\n        return", "    if (applied > log_last_lsn(s->log) + 1000000)\n        return"))
M("recovery: an index of another store is fine", "unit couch_store", "src/couch/recover.c",
  ("    if (st == ST_OK && !slice_eq(v, slice_of(version, sizeof(version))))",
   "    if (st == ST_OK && v.n != sizeof(version))"))
M("recovery: an index older than a compaction is kept", "unit couch_compact", "src/couch/recover.c",
  ("    if (applied != 0 && log_gaps(s->log) != 0 && !opt->salvage) {",
   "    if (applied != 0 && log_gaps(s->log) > 1000000 && !opt->salvage) {"))

# ---- compaction

M("compaction: no barrier before a segment goes", "unit couch_compact", "src/couch/compact_segment.c",
  ("    if (!maint_barrier_at(w->s, atomic_load(&w->s->applied_lsn)))",
   "    if (!maint_barrier_at(w->s, 0))"))
M("compaction: no GONE record", "crash compact_lost 100", "src/couch/compact_gone.c",
  ("    if (w->first_lsn != 0)\n", "    if (w->first_lsn > 1000000)\n"))
M("compaction: the file goes before the GONE record", "crash compact_kinds 300", "src/couch/compact_gone.c",
  ("    if (w->first_lsn != 0)\n", "    TRY(log_delete_seg(w->s->log, w->seg, e));\n    if (w->first_lsn != 0)\n"),
  ("    KILL_POINT(\"compact.delete\");\n    TRY(log_delete_seg(w->s->log, w->seg, e));\n", "    KILL_POINT(\"compact.delete\");\n"))
M("move: the row is not compared", "unit couch_compact", "src/couch/commit_move.c",
  ("    return slice_eq(*row, op->move->row) ? ST_OK : err_set(e, ST_CONFLICT, \"changed meanwhile\");",
   "    (void)e;\n    return ST_OK;"))
M("move: removals of _local documents are not written again", "crash compact_lost 100",
  "src/couch/compact_segment.c",
  ("    if (!local_is_current(rec, &r, row) || (r.deleted && w->oldest))",
   "    if (!local_is_current(rec, &r, row) || r.deleted)"))
M("move: drops are not written again", "crash compact_lost 100", "src/couch/compact_segment.c",
  ("    if (m.op != DBMETA_DROP || w->oldest)\n", "    if (m.op != DBMETA_NEXT || w->oldest)\n"))
M("move: attachments stay in the victim", "unit couch_compact", "src/couch/compact_doc.c",
  ("    if (t->ptr.seg != w->seg)\n        return ST_OK;\n    bytes", "    if (t->ptr.seg != 0)\n        return ST_OK;\n    bytes"))

# ---- blobs, purges

M("blob: not synced before its name", "crash blobs 300", "src/wal/seg_file_obj.c",
  ("    if (fsync(w->fd) != 0) {", "    if (w->fd < 0) {"))
M("blob: its name is not synced", "crash blobs 400", "src/wal/seg_file_obj.c",
  ("    seg_file_path(f, from, o->store, \"blob\");\n    if (fs_sync_dir(from, e) != ST_OK)\n        seg_file_die(\"fsync\", from);\n    KILL_POINT(\"blob.named\");",
   "    KILL_POINT(\"blob.named\");"))
M("blob: checksum not compared", "unit couch_blobs_bad", "src/wal/blob.c",
  ("    if (crc32c(r->salt, r->chunk, n) != get_le32(crc))", "    if (n == 0 && crc32c(r->salt, r->chunk, n) != get_le32(crc))"))
M("blob: a document may name one that nobody holds", "unit couch_blobs", "src/couch/commit_move.c",
  ("            if (!blobs_pinned(g->s->blobs, t->ptr.seg))", "            if (g->s->blobs == NULL)"))
M("blob: the row that a document needs it is forgotten", "unit couch_blobs", "src/couch/blobs.c",
  ("        kv_batch_put(batch, key_blob(a, id, d->dbnum, d->docid), SLICE_LIT(\"\"));\n", ""))
M("purge: forgotten by compaction when the document is back", "unit couch_purge", "src/couch/commit_purge.c",
  ("    p.flags = row.n != 0 ? PURGE_INFO_ONLY : 0;", "    p.flags = 0;"))

# ---- salvage, damage

M("salvage: no copy is kept", "api test_damage.py::test_a_start_refuses_damage_and_salvage_keeps_the_rest",
  "src/wal/salvage.c", ("    TRY(seg_file_keep(v->ss, v->store, seg, e));\n", ""))
M("salvage: rows whose record is lost are not said again", "unit couch_salvage", "src/couch/salvage.c",
  ("        again |= hit;\n", "        (void)hit;\n"))
M("salvage: lost LSNs go unexplained", "unit couch_salvage", "src/couch/salvage.c",
  ("    if (m->n == 0)\n        return ST_OK;\n    st = kv_get", "    if (m->n != 0 || m->n == 0)\n        return ST_OK;\n    st = kv_get"))
M("damage: a rotten body is not noted",
  "api test_damage.py::test_one_rotten_document", "src/wal/log_read.c",
  ("    log_note_damage(log, p->seg, e);\n    return ST_CORRUPT;", "    return ST_CORRUPT;"))
M("salvage: a damaged header is not made again", "unit couch_salvage", "src/wal/salvage_fill.c",
  ("        s = s >> 31 != 0 ? ", "        s = s >> 31 == 0 ? "))
M("salvage: what lies between whole records is not bounded by their LSNs", "unit wal_salvage_fill",
  "src/wal/salvage_fill.c", ("    while (--miss != 0)\n", "    while (miss-- != 0)\n"))
M("check: counts are not compared with the rows", "unit couch_check", "src/couch/check.c",
  ("    if (f->docs != m->docs || ", "    if ("))
