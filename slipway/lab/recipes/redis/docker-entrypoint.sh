#!/bin/sh
# As the official image's: options alone are the server's, the server does not run as root, the world may connect
# (the container's network decides who that is) unless a configuration or option says otherwise.
set -e
if [ "${1#-}" != "$1" ] || [ "${1%.conf}" != "$1" ]; then set -- redis-server "$@"; fi
if [ "$1" = redis-server ]; then
    if [ "$(id -u)" = 0 ]; then
        find . \! -user redis -exec chown redis '{}' +
        exec setpriv --reuid=redis --regid=redis --clear-groups "$0" "$@"
    fi
    [ "$(umask)" != 0022 ] || umask 0077
    case " $* " in
        *" --protected-mode "*) ;;
        *.conf*) ;;
        *) set -- "$@" --protected-mode no ;;
    esac
fi
exec "$@"
