/* tests/unit/test_app_config.c: command line, environment and ini file into one struct. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/config.h"
#include "base/log.h"

static char file[] = "/tmp/divan-config-XXXXXX";
static struct config cfg;
static struct err e;

static int setup(void **state)
{
    int fd = mkstemp(file);

    (void)state;
    assert_true(fd >= 0);
    (void)close(fd);
    (void)unsetenv("DIVAN_ADMIN_PASSWORD");
    (void)unsetenv("DIVAN_ADMIN_PASSWORD_FILE");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    config_free(&cfg);
    (void)unlink(file);
    memcpy(file + sizeof(file) - 7, "XXXXXX", 6);
    return 0;
}

static void write_file(const char *text)
{
    FILE *f = fopen(file, "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* The words after "divan", NULL at the end. */
static enum status load(const char *const *words)
{
    static char *argv[16], copies[16][128];
    int argc = 0;

    (void)snprintf(copies[0], sizeof(copies[0]), "divan");
    argv[argc++] = copies[0];
    for (; *words != NULL; words++, argc++) {
        (void)snprintf(copies[argc], sizeof(copies[argc]), "%s", *words);
        argv[argc] = copies[argc];
    }
    config_free(&cfg);
    return config_load(&cfg, argc, argv, &e);
}

#define LOAD(...) load((const char *const[]){__VA_ARGS__, NULL})

static enum status load_ini(const char *text)
{
    write_file(text);
    return LOAD("serve", "--data", "d", "--config", file);
}

static void commands(void **state)
{
    (void)state;
    assert_int_equal(LOAD("version"), ST_OK);
    assert_int_equal(cfg.command, CMD_VERSION);
    assert_int_equal(LOAD("--version"), ST_OK);
    assert_int_equal(cfg.command, CMD_VERSION);
    assert_int_equal(LOAD("--help"), ST_OK);
    assert_int_equal(cfg.command, CMD_HELP);
    assert_int_equal(LOAD("check", "x"), ST_OK);
    assert_int_equal(cfg.command, CMD_CHECK);
    assert_int_equal(LOAD("check"), ST_BAD_REQUEST);
    assert_int_equal(LOAD("check", "x", "y"), ST_BAD_REQUEST);
    assert_int_equal(LOAD("surf"), ST_BAD_REQUEST);
    assert_int_equal(load((const char *const[]){NULL}), ST_OK);
    assert_int_equal(cfg.command, CMD_HELP);
}

static void serve_needs_an_admin(void **state)
{
    (void)state;
    assert_int_equal(LOAD("serve", "--data", "d"), ST_BAD_REQUEST);
    assert_non_null(strstr(e.reason, "admin"));
    assert_int_equal(setenv("DIVAN_ADMIN_PASSWORD", "pw", 1), 0);
    assert_int_equal(LOAD("serve", "--data", "d"), ST_OK);
    assert_int_equal(cfg.nadmins, 1);
    assert_true(slice_eq(cfg.admins[0].name, SLICE_LIT("admin")));
    assert_true(slice_eq(cfg.admins[0].password, SLICE_LIT("pw")));
    assert_string_equal(cfg.bind, "127.0.0.1");
    assert_int_equal(cfg.port, 5984);
    assert_int_equal(LOAD("serve"), ST_BAD_REQUEST); /* no --data */
    assert_int_equal(LOAD("serve", "--data"), ST_BAD_REQUEST);
    assert_int_equal(LOAD("serve", "--data", "d", "--fast"), ST_BAD_REQUEST);
    assert_int_equal(LOAD("serve", "--data", "d", "--port", "0"), ST_BAD_REQUEST);
    assert_int_equal(LOAD("serve", "--data", "d", "--port", "65536"), ST_BAD_REQUEST);
    assert_int_equal(LOAD("serve", "--data", "d", "--port", "80x"), ST_BAD_REQUEST);
    assert_int_equal(LOAD("serve", "--data", "d", "--port", "80", "--admin-user", "joe"), ST_OK);
    assert_int_equal(cfg.port, 80);
    assert_true(slice_eq(cfg.admins[0].name, SLICE_LIT("joe")));
}

static void password_file(void **state)
{
    (void)state;
    write_file(" two words \r\nsecond line\n");
    assert_int_equal(setenv("DIVAN_ADMIN_PASSWORD_FILE", file, 1), 0);
    assert_int_equal(LOAD("serve", "--data", "d"), ST_OK);
    assert_true(slice_eq(cfg.admins[0].password, SLICE_LIT(" two words ")));
    assert_int_equal(setenv("DIVAN_ADMIN_PASSWORD_FILE", "/nowhere/at/all", 1), 0);
    assert_int_not_equal(LOAD("serve", "--data", "d"), ST_OK);
}

static void ini_file(void **state)
{
    (void)state;
    assert_int_equal(load_ini("; comment\n# another\n\n[chttpd]\r\nport = 6000\r\n"
                              "bind_address=::1\n[admins]\nroot = -pbkdf2-x,y,1\njoe=a=b \n"
                              "[vector]\ntarget_recall = 0.9\n[log]\nlevel = debug\n"
                              "[other]\nx = y"),
                     ST_OK);
    assert_int_equal(cfg.port, 6000);
    assert_string_equal(cfg.bind, "::1");
    assert_int_equal(cfg.nadmins, 2);
    assert_true(slice_eq(cfg.admins[0].password, SLICE_LIT("-pbkdf2-x,y,1")));
    assert_true(slice_eq(cfg.admins[1].name, SLICE_LIT("joe")));
    assert_true(slice_eq(cfg.admins[1].password, SLICE_LIT("a=b")));
    assert_true(cfg.target_recall > 0.89 && cfg.target_recall < 0.91);
    assert_int_equal(cfg.log_level, LOG_DEBUG_);
    assert_int_equal(
        LOAD("serve", "--data", "d", "--config", file, "--port", "7000", "--bind", "0.0.0.0"),
        ST_OK); /* the command line wins */
    assert_int_equal(cfg.port, 7000);
    assert_string_equal(cfg.bind, "0.0.0.0");
}

static void bad_ini_files(void **state)
{
    static const char *const bad[] = {"[chttpd]\nport = x\n",
                                      "[chttpd]\nport\n",
                                      "[chttpd\nport = 1\n[",
                                      "[vector]\ntarget_recall = nan\n",
                                      "[vector]\ntarget_recall = 0.4\n",
                                      "[vector]\ntarget_recall =\n",
                                      "[vector]\ntarget_recall = 0.9x\n",
                                      "[log]\nlevel = loud\n",
                                      ""};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(load_ini(bad[i]), ST_BAD_REQUEST); /* the last: no admin */
}

static void many_admins(void **state)
{
    char text[1000] = "[admins]\n";
    size_t n = strlen(text);

    (void)state;
    for (int i = 0; i <= CONFIG_ADMINS_MAX; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "a%d = x\n", i);
    assert_int_equal(load_ini(text), ST_BAD_REQUEST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(commands, setup, teardown),
        cmocka_unit_test_setup_teardown(serve_needs_an_admin, setup, teardown),
        cmocka_unit_test_setup_teardown(password_file, setup, teardown),
        cmocka_unit_test_setup_teardown(ini_file, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_ini_files, setup, teardown),
        cmocka_unit_test_setup_teardown(many_admins, setup, teardown),
    };

    log_set_level(LOG_ERROR_);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
