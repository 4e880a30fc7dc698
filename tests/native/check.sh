#!/bin/sh
# The extension under AddressSanitizer and UBSan (a build of its own, with -Werror), then as installed under Valgrind; $1: a python with the package.
# Leak detection is off: the interpreter itself keeps memory until the process ends.
set -eu
case $1 in /*) python=$1 ;; *) python=$PWD/$1 ;; esac
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
cp -r setup.py pyproject.toml MANIFEST.in README.md LICENSE native src "$build"
(
    cd "$build"
    find src -name '*.so' -delete
    AFTERTRACE_WERROR=1 AFTERTRACE_CFLAGS="-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -O1" \
        AFTERTRACE_LDFLAGS="-fsanitize=address,undefined" "$python" setup.py -q build_ext --inplace
)
echo "== the extension's tests under AddressSanitizer and UBSan"
LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)" ASAN_OPTIONS=detect_leaks=0 \
    PYTHONPATH="$build/src" "$python" -P -m pytest -q -p no:cacheprovider -n "${WORKERS:-0}" --dist worksteal -m "not alone" tests/native_values tests/record_native
echo "== the ring's reader on rings that are damaged at random"
"$python" -P tests/fuzz/corpus.py "$build/rings"
gcc -std=gnu11 -g -O1 -Wall -Wextra -Werror -fsanitize=address,undefined -fno-sanitize-recover=undefined -DSTANDALONE -Inative \
    tests/fuzz/reader_fuzz.c -o "$build/reader_fuzz"
FUZZ_SECONDS="${FUZZ_SECONDS:-5}" "$build/reader_fuzz" "$build"/rings/* $(find tests/fuzz/found -type f 2>/dev/null)
if command -v valgrind >/dev/null; then
    echo "== a recorder's life under Valgrind"
    "$python" -P tests/native/valgrind.py
else
    echo "== valgrind is not installed: its check was left out"
fi
