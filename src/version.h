/* version.h: what the program calls itself, and the CouchDB release whose behaviour it follows. */
#ifndef VERSION_H
#define VERSION_H
#define DIVAN_VERSION          "0.1.0"
#define COUCHDB_COMPAT_VERSION "3.5.0"
#endif
