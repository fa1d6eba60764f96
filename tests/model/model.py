"""A database as the specification describes it: revision trees, reads, feeds, counts.

Written from the rules of CouchDB's replication model and from nothing else, in the simplest form
that can be checked by eye: a document is a set of revisions and the parent each one is known to
have.  It is slow and holds everything in memory.  tests/model/test_model.py compares it with the
server.

Histories given to it must not contradict themselves: a revision has one parent for all time,
which real revision ids guarantee, as they are digests that cover the parent.
"""

import base64
import hashlib
import re
import struct


class Refused(Exception):
    """A request that the server must answer with this status and error word."""

    def __init__(self, status, word, reason=None):
        super().__init__(status, word, reason)
        self.status = status
        self.word = word
        self.reason = reason


# Revisions: (generation, hash).  The hash is 16 raw bytes for 32 hex digits, else its text.


def parse_rev(text):
    found = re.fullmatch(r"([0-9]+)-(.*)", text, re.DOTALL)
    if not found:
        raise Refused(400, "bad_request", "Invalid rev format")
    return int(found.group(1)), parse_hash(int(found.group(1)), found.group(2))


def parse_hash(generation, text):
    raw = text.encode("utf-8")
    if generation and len(raw) == 32:
        if not re.fullmatch(rb"[0-9a-fA-F]{32}", raw):
            raise Refused(400, "bad_request", "Invalid rev format")
        return bytes.fromhex(text)
    return raw


def show_hash(rev):
    return rev[1].hex() if len(rev[1]) == 16 else rev[1].decode("utf-8")


def show_rev(rev):
    return "%d-%s" % (rev[0], show_hash(rev))


# Revision ids of interactive edits: MD5 of an Erlang term in the external format.


def binary(raw):
    return b"\x6d" + struct.pack(">I", len(raw)) + raw


def atom(name):
    return b"\x64" + struct.pack(">H", len(name)) + name


def integer(value):
    if 0 <= value <= 255:
        return bytes((97, value))
    if -(1 << 31) <= value < 1 << 31:
        return b"\x62" + struct.pack(">i", value)
    size = (abs(value).bit_length() + 7) // 8
    digits = abs(value).to_bytes(size, "little")
    return bytes((110, size, 1 if value < 0 else 0)) + digits


def sequence(parts):
    if not parts:
        return b"\x6a"
    return b"\x6c" + struct.pack(">I", len(parts)) + b"".join(parts) + b"\x6a"


def tuple_of(*parts):
    return bytes((104, len(parts))) + b"".join(parts)


def is_byte(value):
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 255


def term(value):
    """A JSON value as an Erlang term.  The values of tests are flat enough to recurse."""
    if value is None:
        return atom(b"null")
    if isinstance(value, bool):
        return atom(b"true" if value else b"false")
    if isinstance(value, int):
        return integer(value)
    if isinstance(value, float):
        return b"\x46" + struct.pack(">d", value)
    if isinstance(value, str):
        return binary(value.encode("utf-8"))
    if isinstance(value, dict):
        pairs = [tuple_of(term(name), term(inner)) for name, inner in value.items()]
        return tuple_of(sequence(pairs))
    if value and len(value) <= 65535 and all(is_byte(v) for v in value):
        return b"\x6b" + struct.pack(">H", len(value)) + bytes(value)
    return sequence([term(v) for v in value])


def new_rev(parent, deleted, body, atts):
    """The revision that an edit makes; atts in the order of the members."""
    listed = [
        tuple_of(binary(name.encode("utf-8")), binary(a.kind.encode("utf-8")), binary(a.md5))
        for name, a in reversed(atts.items())
    ]
    whole = b"\x83" + sequence(
        [
            atom(b"true" if deleted else b"false"),
            integer(parent[0] if parent else 0),
            binary(parent[1]) if parent else integer(0),
            term(body),
            sequence(listed),
        ]
    )
    return (parent[0] + 1 if parent else 1), hashlib.md5(whole).digest()


class Att:
    """One stored attachment."""

    def __init__(self, kind, data, revpos):
        self.kind = kind
        self.data = data
        self.revpos = revpos
        self.md5 = hashlib.md5(data).digest()

    def show(self, inline):
        shown = {
            "content_type": self.kind,
            "revpos": self.revpos,
            "digest": "md5-" + base64.b64encode(self.md5).decode("ascii"),
        }
        if inline:
            shown["data"] = base64.b64encode(self.data).decode("ascii")
        else:
            shown.update(length=len(self.data), stub=True)
        return shown


class Stub:
    """An attachment of a request that says "as before"."""

    def __init__(self, revpos=None):
        self.revpos = revpos


class Record:
    """What is kept of a revision whose content is known."""

    def __init__(self, deleted, body, atts):
        self.deleted = deleted
        self.body = body
        self.atts = atts


class Tree:
    """The revisions of one document.  parent: rev -> rev or None; record: where content is."""

    def __init__(self):
        self.parent = {}
        self.record = {}
        self.written = 0

    def leaves(self):
        """All leaves, the winner first."""
        inner = set(self.parent.values())
        found = [rev for rev in self.parent if rev not in inner]
        found.sort(key=lambda rev: (not self.record[rev].deleted, rev), reverse=True)
        return found

    def winner(self):
        return self.leaves()[0]

    def deleted(self):
        return self.record[self.winner()].deleted

    def path(self, rev):
        """From rev to its oldest known ancestor."""
        found = []
        while rev is not None:
            found.append(rev)
            rev = self.parent[rev]
        return found

    def add(self, path, record):
        """Join a path (newest first) to what is known; its first revision gets the record."""
        for rev, parent in zip(path, path[1:] + [None]):
            known = self.parent.get(rev)
            assert known is None or parent is None or known == parent, "two parents"
            self.parent[rev] = known or parent
        self.record[path[0]] = record

    def stem(self, limit):
        """Keep the newest `limit` of the path of every leaf.

        Where a revision stays only for a leaf that is near, a farther leaf no longer leads to it.
        """
        kept = {}
        for leaf in self.leaves():
            path = self.path(leaf)[:limit]
            for rev, parent in zip(path, path[1:] + [None]):
                kept[rev] = parent or kept.get(rev)
        self.parent = kept
        self.record = {r: c for r, c in self.record.items() if r in kept}

    def purge(self, revs):
        """Take those of revs that are leaves away, as if they had never been; which."""
        leaves = self.leaves()
        gone = [rev for rev in dict.fromkeys(revs) if rev in leaves]
        kept = {}
        for leaf in leaves:
            if leaf not in gone:
                kept.update((rev, self.parent[rev]) for rev in self.path(leaf))
        self.parent = kept
        self.record = {r: c for r, c in self.record.items() if r in kept}
        return gone

    def below(self, rev):
        """The leaves at or below rev."""
        return [leaf for leaf in self.leaves() if rev in self.path(leaf)]

    def ancestor_with_content(self, path):
        """The nearest revision above path[0] whose content is kept."""
        line = list(path[1:])
        if path[-1] in self.parent:
            line += self.path(path[-1])[1:]
        for rev in line:
            if rev in self.record:
                return self.record[rev]
        return None


def resolve(atts, before, generation):
    """Attachments of a request made whole; before: the record that stubs refer to or None."""
    whole = {}
    for name, att in atts.items():
        if isinstance(att, Stub):
            old = before.atts.get(name) if before else None
            if old is None or att.revpos not in (None, old.revpos):
                raise Refused(412, "missing_stub")
            whole[name] = old
        else:
            revpos = generation if att.revpos is None else att.revpos
            whole[name] = Att(att.kind, att.data, revpos)
    return whole


def conflict():
    return Refused(409, "conflict", "Document update conflict.")


class Database:
    """One replica."""

    def __init__(self):
        self.docs = {}
        self.local = {}
        self.limit = 1000
        self.seq = 0
        self.purge_seq = 0
        self.infos = []  # (document, revisions as asked for), oldest first.
        self.infos_limit = 1000
        self.request = 0  # Number of the request that writes; the order within one is open.

    # Writes.

    def finish(self, doc_id, tree):
        tree.stem(self.limit)
        tree.written = self.request
        self.seq += 1
        self.docs[doc_id] = tree

    def parent_of_edit(self, doc_id, rev, deleted):
        tree = self.docs.get(doc_id)
        if tree is None:
            if rev is not None:
                raise conflict()
            return None
        leaves = tree.leaves()
        if tree.deleted():
            if deleted:
                raise conflict()
            if rev is None:
                return leaves[0]
        if rev not in leaves:
            raise conflict()
        if deleted and tree.record[rev].deleted:
            raise conflict()  # CouchDB puts a second tombstone on a losing one.
        return rev

    def edit(self, doc_id, rev, deleted, body, atts):
        """An interactive edit; the new revision."""
        parent = self.parent_of_edit(doc_id, rev, deleted)
        tree = self.docs.get(doc_id) or Tree()
        before = tree.record[rev] if rev else None  # Without a _rev a stub has nothing to mean.
        whole = resolve(atts, before, parent[0] + 1 if parent else 1)
        rev = new_rev(parent, deleted, body, whole)
        if rev in tree.parent:
            raise conflict()  # It came from elsewhere before, without its ancestors.
        tree.add([rev] + ([parent] if parent else []), Record(deleted, body, whole))
        self.finish(doc_id, tree)
        return rev

    def remove(self, doc_id, rev):
        """DELETE of a document."""
        self.open(doc_id)
        return self.edit(doc_id, rev, True, {}, {})

    def change_att(self, doc_id, rev, name, att):
        """PUT of an attachment, or DELETE when att is None."""
        tree = self.docs.get(doc_id)
        if tree is None and (rev is not None or att is None):
            raise conflict() if att else Refused(404, "not_found")
        parent = self.parent_of_edit(doc_id, rev, False)
        old = tree.record[parent] if rev else Record(False, {}, {})
        atts = {n: a for n, a in old.atts.items() if n != name}
        if att is not None:
            atts = {name: att, **atts}
        elif name not in old.atts:
            raise Refused(404, "not_found")
        return self.edit(doc_id, rev, False, old.body, atts)

    def graft(self, doc_id, path, deleted, body, atts):
        """A revision as a replicator brings it (path: newest first)."""
        tree = self.docs.get(doc_id) or Tree()
        if path[0] in tree.parent:
            return
        whole = resolve(atts, tree.ancestor_with_content(path), path[0][0])
        tree.add(path, Record(deleted, body, whole))
        self.finish(doc_id, tree)

    def purge(self, doc_id, revs):
        """The revisions that went.  It counts as a change even when none did."""
        tree = self.docs.get(doc_id)
        gone = tree.purge(revs) if tree else []
        self.seq += 1
        self.purge_seq += 1
        self.infos.append((doc_id, revs))
        self.infos = self.infos[-self.infos_limit :]
        if gone and not tree.parent:
            del self.docs[doc_id]
        elif gone:
            tree.written = self.request
        return gone

    # Reads of documents.

    def open(self, doc_id, rev=None):
        """The revision that GET shows."""
        tree = self.docs.get(doc_id)
        if tree is None:
            raise Refused(404, "not_found", "missing")
        if rev is None:
            if tree.deleted():
                raise Refused(404, "not_found", "deleted")
            return tree.winner()
        if rev not in tree.record:
            raise Refused(404, "not_found", "missing")
        return rev

    def show(self, doc_id, rev, revs=False, inline=False, since=()):
        """The document as JSON; inline may be limited to what is newer than `since`."""
        tree = self.docs[doc_id]
        record = tree.record[rev]
        shown = {"_id": doc_id, "_rev": show_rev(rev)}
        if record.deleted:
            shown["_deleted"] = True
        shown.update(record.body)
        path = tree.path(rev)
        newest = max((r[0] for r in path if r in since), default=0)
        if record.atts:
            shown["_attachments"] = {
                name: att.show(inline and att.revpos > newest)
                for name, att in record.atts.items()
            }
        if revs:
            shown["_revisions"] = {"start": rev[0], "ids": [show_hash(r) for r in path]}
        return shown

    def meta(self, doc_id, conflicts=False, deleted_conflicts=False, info=False):
        """The members that GET of the winner adds."""
        tree = self.docs[doc_id]
        winner, *others = tree.leaves()
        live = [show_rev(r) for r in others if not tree.record[r].deleted]
        dead = [show_rev(r) for r in others if tree.record[r].deleted]
        added = {}
        if conflicts and live:
            added["_conflicts"] = live
        if deleted_conflicts and dead:
            added["_deleted_conflicts"] = dead
        if info:
            path = tree.path(winner)
            added["_revs_info"] = [{"rev": show_rev(r), "status": self.status(tree, r)} for r in path]
        return added

    @staticmethod
    def status(tree, rev):
        if rev not in tree.record:
            return "missing"
        return "deleted" if tree.record[rev].deleted else "available"

    def select(self, doc_id, revs, latest):
        """Revisions for open_revs and _bulk_get: (found, absent), each in no special order."""
        tree = self.docs.get(doc_id) or Tree()
        if revs is None:
            return (tree.leaves() if tree.parent else []), []
        found, absent = [], []
        for rev in revs:
            if latest and rev in tree.parent:
                found += [leaf for leaf in tree.below(rev) if leaf not in found]
            elif rev in tree.record:
                found.append(rev)
            else:
                absent.append(rev)
        return found, absent

    def revs_diff(self, asked):
        answer = {}
        for doc_id, revs in asked.items():
            tree = self.docs.get(doc_id) or Tree()
            missing = [rev for rev in revs if rev not in tree.parent]
            if not missing:
                continue
            answer[doc_id] = {"missing": sorted(show_rev(r) for r in missing)}
            top = max(rev[0] for rev in missing)
            leaves = tree.leaves() if tree.parent else []
            older = sorted(show_rev(r) for r in leaves if r[0] < top)
            if older:
                answer[doc_id]["possible_ancestors"] = older
        return answer

    # Reads of the database.

    def counts(self):
        gone = sum(tree.deleted() for tree in self.docs.values())
        return {"doc_count": len(self.docs) - gone, "doc_del_count": gone}

    def live_ids(self):
        return sorted(
            (i for i, tree in self.docs.items() if not tree.deleted()),
            key=lambda i: i.encode("utf-8"),
        )

    def row(self, doc_id, include_docs=False, conflicts=False):
        """A row of _all_docs asked for by its key."""
        tree = self.docs.get(doc_id)
        if tree is None:
            return {"key": doc_id, "error": "not_found"}
        value = {"rev": show_rev(tree.winner())}
        row = {"id": doc_id, "key": doc_id, "value": value}
        if tree.deleted():
            value["deleted"] = True
        if include_docs:
            row["doc"] = None
            if not tree.deleted():
                row["doc"] = self.show(doc_id, tree.winner())
                row["doc"].update(self.meta(doc_id, conflicts=conflicts))
        return row

    def change(self, doc_id, all_leaves=False, include_docs=False):
        """A row of _changes without its seq."""
        tree = self.docs[doc_id]
        revs = tree.leaves() if all_leaves else [tree.winner()]
        row = {"id": doc_id, "changes": [{"rev": show_rev(r)} for r in revs]}
        if tree.deleted():
            row["deleted"] = True
        if include_docs:
            row["doc"] = self.show(doc_id, tree.winner())
        return row

    # _local documents: no tree, and the revision that is sent is only counted on.

    def put_local(self, name, rev, body):
        number = int(rev.partition("-")[2]) + 1 if rev else 1
        self.local[name] = dict(body, _id="_local/" + name, _rev="0-%d" % number)
        return "0-%d" % number

    def remove_local(self, name):
        if self.local.pop(name, None) is None:
            raise Refused(404, "not_found")
        return "0-0"
