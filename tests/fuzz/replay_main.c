/* tests/fuzz/replay_main.c: feeds a fuzz target every file of its corpus, without libFuzzer.
 *
 * So the corpora run as ordinary tests in every preset, under gcc and the sanitizers. Arguments are
 * files or folders (one level). Each input lies in memory of its own exact size: an over-read is
 * seen. An absent folder counts as empty: the target still runs on the empty input. One thread.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_BYTES_MAX (16u << 20)

static int replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        fprintf(stderr, "%s: cannot open\n", path);
        return 1;
    }
    uint8_t *whole = malloc(INPUT_BYTES_MAX);
    size_t size = whole ? fread(whole, 1, INPUT_BYTES_MAX, file) : 0;
    int failed = !whole || ferror(file);
    (void)fclose(file);
    uint8_t *exact = malloc(size ? size : 1);
    if (!failed && exact) {
        memcpy(exact, whole, size);
        (void)LLVMFuzzerTestOneInput(exact, size);
    }
    free(exact);
    free(whole);
    return failed;
}

/* Returns the number of inputs that could not be read; counts the rest in *done. */
static int replay_path(const char *path, int *done)
{
    DIR *folder = opendir(path);
    if (!folder) {
        if (errno == ENOENT)
            return 0;
        (*done)++;
        return replay_file(path);
    }
    int failed = 0;
    for (;;) {
        const struct dirent *entry =
            readdir(folder); /* NOLINT(concurrency-mt-unsafe): one thread */
        if (!entry)
            break;
        if (entry->d_name[0] == '.')
            continue;
        char name[PATH_MAX];
        int length = snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (length < 0 || (size_t)length >= sizeof name) {
            failed++;
            continue;
        }
        failed += replay_file(name);
        (*done)++;
    }
    (void)closedir(folder);
    return failed;
}

int main(int argc, char **argv)
{
    static const uint8_t nothing[1];
    int done = 1;
    int failed = 0;
    (void)LLVMFuzzerTestOneInput(nothing, 0);
    for (int i = 1; i < argc; i++)
        failed += replay_path(argv[i], &done);
    printf("%d inputs, %d unreadable\n", done, failed);
    return failed ? 1 : 0;
}
