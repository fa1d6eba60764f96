#!/usr/bin/python3
"""The demo of scripts/run: loads this machine's package catalogue into Divan and asks it three things by meaning.

    demo/demo.py --url http://127.0.0.1:5984 --password-file FILE --model FILE      load (once), then three queries
    demo/demo.py ... --ask "edit photos" [--section games] [--like PACKAGE]         one query of your own

The database is `packages`: one document a package, with a 256-dimension vector in `embedding` that embed.py makes
from the package's words. The load ends with a local document, `_local/catalogue`; a later run finds it and does not
load again. An interrupted load is simply run again: what is already there is answered with a conflict and kept.
"""

import argparse
import base64
import http.client
import json
import os
import sys
import time
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from catalogue import dump, packages, weighted_words  # noqa: E402  (the path is set just above)
from embed import DIMS, Embedder, to_base64, words_of  # noqa: E402

DB = "/packages"
DONE = DB + "/_local/catalogue"
BATCH = 1000
INDEX = {
    "type": "vector",
    "ddoc": "semantic",
    "name": "description",
    "index": {"fields": [{"name": "embedding", "dims": DIMS, "metric": "cosine"}]},
}


def say(text):
    print(text, flush=True)


class Client:
    """One keep-alive connection with Basic authentication."""

    def __init__(self, url, user, password):
        parts = urllib.parse.urlsplit(url)
        self.connection = http.client.HTTPConnection(parts.hostname, parts.port or 5984, timeout=300)
        token = base64.b64encode(("%s:%s" % (user, password)).encode()).decode()
        self.headers = {"Authorization": "Basic " + token, "Content-Type": "application/json"}

    def call(self, method, path, body=None, accept=(200, 201, 202)):
        """(status, parsed answer); anything not in accept ends the program with the server's reason."""
        data = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        try:
            self.connection.request(method, path, data, self.headers)
            reply = self.connection.getresponse()
            text = reply.read()
        except (OSError, http.client.HTTPException) as error:
            raise SystemExit("demo: %s %s: %s" % (method, path, error or type(error).__name__))
        if reply.status not in accept:
            raise SystemExit("demo: %s %s: %d %s" % (method, path, reply.status, text.decode("utf-8", "replace")[:500]))
        return reply.status, json.loads(text)


class Progress:
    """One line that moves on a terminal, a line every ten batches elsewhere."""

    def __init__(self, total):
        self.total, self.began, self.moving = total, time.monotonic(), sys.stdout.isatty()

    def show(self, done):
        last = done >= self.total
        rate = done / max(1e-9, time.monotonic() - self.began)
        line = "demo: %6d of %d documents, %6.0f docs/s" % (done, self.total, rate)
        if self.moving:
            print("\r" + line, end="\n" if last else "", flush=True)
        elif last or done % (10 * BATCH) == 0:
            say(line)


def load(client, model_file):
    began = time.monotonic()
    found = packages(dump())
    say("demo: %d packages in the catalogue of this machine; learning what their words mean" % len(found))
    texts = [weighted_words(document, tags) for document, tags in found]
    embedder = Embedder(texts)
    embedder.save(model_file)
    say("demo: vocabulary and directions ready after %.1f s (%s)" % (time.monotonic() - began, model_file))
    client.call("PUT", DB, accept=(201, 202, 412))
    client.call("POST", DB + "/_index", INDEX)
    refused, waiting = 0, 0.0
    progress = Progress(len(found))
    for first in range(0, len(found), BATCH):
        documents = []
        vectors = embedder.embed(texts[first : first + BATCH])
        for (document, _), vector in zip(found[first : first + BATCH], vectors):
            document["embedding"] = to_base64(vector)
            documents.append(document)
        sent = time.monotonic()
        _, rows = client.call("POST", DB + "/_bulk_docs", {"docs": documents})
        waiting += time.monotonic() - sent
        refused += sum(1 for row in rows if row.get("error") not in (None, "conflict"))
        progress.show(min(first + BATCH, len(found)))
    if refused:
        raise SystemExit("demo: the server refused %d documents" % refused)
    client.call("PUT", DONE, {"packages": len(found), "embedding": "demo/embed.py", "dims": DIMS})
    say("demo: loaded; %.1f s of that was the server's (%.0f docs/s)" % (waiting, len(found) / max(waiting, 1e-9)))
    return embedder


def text_vector(embedder, text):
    """The vector of a question: the same words, each once."""
    return to_base64(embedder.embed([dict.fromkeys(words_of(text), 1)])[0])


def ask(client, title, near, selector=None, limit=5):
    body = {
        "selector": selector or {},
        "vector": {"field": "embedding", "near": near},
        "fields": ["_id", "section", "description"],
        "limit": limit,
        "execution_stats": True,
    }
    began = time.perf_counter()
    _, answer = client.call("POST", DB + "/_find", body)
    took = (time.perf_counter() - began) * 1000
    stats = answer.get("execution_stats", {})
    inside = stats.get("execution_time_ms")
    plan = stats.get("vector", {}).get("plan")
    note = "".join([", %.2f ms in the server" % inside if inside is not None else "", ", plan %s" % plan if plan else ""])
    say("")
    say("%s  (%.1f ms%s)" % (title, took, note))
    for hit, document in zip(answer["hits"], answer["docs"]):
        line = document["description"].split("\n")[0]
        say("   %.3f  %-26s %-12s %s" % (hit["score"], document["_id"], document["section"], line[:60]))
    if answer.get("warning"):
        say("   warning: %s" % answer["warning"])


def tour(client, embedder):
    # The first request after a start opens the database; it is not what the times below are about.
    _, info = client.call("GET", DB)
    say("demo: database packages holds %d documents" % info["doc_count"])
    text = "play chess against the computer"
    ask(client, 'nearest to the text "%s"' % text, text_vector(embedder, text))
    known = next((p for p in ("vim", "nano", "bash") if client.call("GET", DB + "/" + p, accept=(200, 404))[0] == 200), None)
    if known:
        ask(client, "nearest to the package %s" % known, {"_id": known})
    text = "build a city"
    ask(client, 'nearest to the text "%s" within {"section":"games"}' % text, text_vector(embedder, text),
        {"section": "games"})
    say("")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:5984")
    parser.add_argument("--user", default="admin")
    parser.add_argument("--password-file", required=True)
    parser.add_argument("--model", required=True, help="where the demo keeps what it learned about words")
    parser.add_argument("--ask", metavar="TEXT", help="one query of your own")
    parser.add_argument("--like", metavar="PACKAGE", help="nearest to this package")
    parser.add_argument("--section", help="only within this section")
    parser.add_argument("--limit", type=int, default=10)
    return parser.parse_args()


def main():
    options = arguments()
    with open(options.password_file, encoding="utf-8") as file:
        client = Client(options.url, options.user, file.readline().rstrip("\n"))
    status, _ = client.call("GET", DONE, accept=(200, 404))
    if status == 200:
        say("demo: the catalogue is there already")
        embedder = Embedder.load_or_none(options.model)
        if embedder is None:
            embedder = Embedder([weighted_words(document, tags) for document, tags in packages(dump())])
            embedder.save(options.model)
    else:
        embedder = load(client, options.model)
    selector = {"section": options.section} if options.section else None
    if options.ask:
        ask(client, 'nearest to the text "%s"' % options.ask, text_vector(embedder, options.ask), selector, options.limit)
    elif options.like:
        ask(client, "nearest to the package %s" % options.like, {"_id": options.like}, selector, options.limit)
    else:
        tour(client, embedder)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("demo: interrupted; the next start begins where it has to")
