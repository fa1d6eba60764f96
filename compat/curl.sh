#!/usr/bin/env bash
# The transcript of a curl session, as the documentation and users' shell scripts have it.
# Usage: curl.sh URL_WITH_LOGIN; prints every step, exits 1 at the first surprise.
set -euo pipefail

base=${1%/}
json=(-H 'Content-Type: application/json')
step=0

# want PATTERN CURL-ARGUMENTS...: the answer (status line excluded) must match the pattern.
want() {
    local pattern=$1 got
    shift
    step=$((step + 1))
    got=$(curl -sS -m 30 "$@")
    if [[ ! $got =~ $pattern ]]; then
        printf 'not ok %d: curl %s\n  want %s\n  got  %s\n' "$step" "$*" "$pattern" "$got" >&2
        exit 1
    fi
    printf 'ok %d %s\n' "$step" "${got:0:100}"
}

# status CODE CURL-ARGUMENTS...
status() {
    local code=$1 got
    shift
    step=$((step + 1))
    got=$(curl -sS -m 30 -o /dev/null -w '%{http_code}' "$@")
    if [ "$got" != "$code" ]; then
        printf 'not ok %d: curl %s\n  want %s\n  got  %s\n' "$step" "$*" "$code" "$got" >&2
        exit 1
    fi
    printf 'ok %d %s\n' "$step" "$code"
}

rev_of() { curl -sS -m 30 "$1" | sed 's/.*"_rev":"\([^"]*\)".*/\1/'; }

want '"couchdb":"Welcome"' "$base/"
want '^\{"status":"ok"' "$base/_up"
want '^\{"ok":true\}$' -X PUT "$base/curl"
want '"error":"file_exists"' -X PUT "$base/curl"
want '"curl"' "$base/_all_dbs"
want '"db_name":"curl"' "$base/curl"
want '^\{"ok":true,"id":"a","rev":"1-967a00dff5e02add41819138abb3284d"\}$' \
    -X PUT "$base/curl/a" -d '{}'
want '"error":"conflict"' -X PUT "$base/curl/a" -d '{}'
status 409 -X PUT "$base/curl/a" -d '{}'
want '^\{"_id":"a","_rev":"1-967a00dff5e02add41819138abb3284d"\}$' "$base/curl/a"
want '^\{"ok":true,"id":"[0-9a-f]{32}"' -X POST "$base/curl" "${json[@]}" -d '{"by":"post"}'
want '"id":"b".*"id":"c"' -X POST "$base/curl/_bulk_docs" "${json[@]}" \
    -d '{"docs":[{"_id":"b","n":1.0},{"_id":"c","n":12345678901234567890}]}'
want '"n":1\.0\}' "$base/curl/b"
want '"n":12345678901234567890\}' "$base/curl/c"
want '"total_rows":4' "$base/curl/_all_docs"
want '"id":"b","key":"b"' -G "$base/curl/_all_docs" --data-urlencode 'key="b"'
want '"last_seq":' "$base/curl/_changes"
want '"results":\[' "$base/curl/_changes?feed=longpoll&timeout=1000&since=now"
want '"last_seq":' "$base/curl/_changes?feed=continuous&timeout=500"
printf 'attachment bytes' | want '"ok":true' -X PUT "$base/curl/att/file.txt" \
    -H 'Content-Type: text/plain' --data-binary @-
want '^attachment bytes$' "$base/curl/att/file.txt"
want '"stub":true' "$base/curl/att"
status 304 "$base/curl/a" -H 'If-None-Match: "1-967a00dff5e02add41819138abb3284d"'
status 200 -I "$base/curl/a"
status 401 "${base/\/\/*@///}/curl"
status 415 -X POST "$base/curl/_bulk_docs" -d '{"docs":[]}'
status 405 -X POST "$base/"
want '"rev":"2-' -X DELETE "$base/curl/b?rev=$(rev_of "$base/curl/b")"
want '"reason":"deleted"' "$base/curl/b"
want '"result":"created"' -X POST "$base/curl/_index" "${json[@]}" -d \
    '{"type":"vector","ddoc":"s","name":"v","index":{"fields":[{"name":"v","dims":2}]}}'
want '"ok":true' -X PUT "$base/curl/x" -d '{"v":[1,0]}'
want '"ok":true' -X PUT "$base/curl/y" -d '{"v":[0,1]}'
want '"docs":\[.*"_id":"y".*"_id":"x".*"hits":\[\{"id":"y"' -X POST "$base/curl/_find" \
    "${json[@]}" -d '{"selector":{},"vector":{"near":[0.1,0.9]}}'
want '"error":"invalid_vector"' -X POST "$base/curl/_find" "${json[@]}" \
    -d '{"selector":{},"vector":{"near":[1]}}'
want '"missing":\["2-x"\]' -X POST "$base/curl/_revs_diff" "${json[@]}" -d '{"a":["2-x"]}'
want '^\{"ok":true,"id":"_local/m","rev":"0-1"\}$' -X PUT "$base/curl/_local/m" -d '{"v":1}'
want '"ok":true,"instance_start_time":"' -X POST "$base/curl/_ensure_full_commit" "${json[@]}"
want '^\{"ok":true\}$' -X DELETE "$base/curl"
status 404 "$base/curl"
