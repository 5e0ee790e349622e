#!/usr/bin/env bash
# Builds the Java peers of tests/interop into the directory given. When that cannot be done here the
# file "missing" in it says why, and the tests that need the peer are skipped with that reason.
set -u

out=$1
source=$(cd "$(dirname "$0")/../tests/interop" && pwd)
java_release_min=21
fetch_seconds_max=300

mkdir -p "$out"
rm -f "$out/missing" "$out/java"

give_up() {
    printf '%s\n' "$1" >"$out/missing"
    printf 'interop tests will be skipped: %s\n' "$1" >&2
    exit 0
}

release_of() {
    "$1/bin/javac" -version 2>/dev/null | sed -n 's/^javac \([0-9]*\).*/\1/p'
}

find_jdk() {
    local home release
    for home in "${JAVA_HOME:-}" /usr/lib/jvm/* /opt/*jdk* "${HOME:-}"/.sdkman/candidates/java/*; do
        [ -x "$home/bin/javac" ] && [ -x "$home/bin/java" ] || continue
        release=$(release_of "$home")
        [ -n "$release" ] && [ "$release" -ge "$java_release_min" ] && printf '%s' "$home" && return
    done
}

jdk=$(find_jdk)
[ -n "$jdk" ] || give_up "no JDK $java_release_min or newer in JAVA_HOME or below /usr/lib/jvm and /opt"
command -v mvn >/dev/null 2>&1 || give_up "no mvn, which fetches the jars of the real Zeebe"

if [ ! -f "$out/.jars" ] || [ "$source/pom.xml" -nt "$out/.jars" ]; then
    rm -rf "$out/jars"
    timeout "$fetch_seconds_max" mvn --quiet --batch-mode --file "$source/pom.xml" \
        dependency:copy-dependencies -DincludeScope=runtime \
        "-DoutputDirectory=$(cd "$out" && pwd)/jars" >"$out/fetch.log" 2>&1 ||
        give_up "Maven could not fetch the jars of the real Zeebe: see $out/fetch.log"
    touch "$out/.jars"
fi

newer=$(find "$source" "$out/.jars" -newer "$out/.classes" \( -name '*.java' -o -name .jars \) 2>/dev/null)
if [ ! -f "$out/.classes" ] || [ -n "$newer" ]; then
    "$jdk/bin/javac" -nowarn -cp "$out/jars/*" -d "$out/classes" "$source"/*.java \
        >"$out/compile.log" 2>&1 || { cat "$out/compile.log" >&2; exit 1; }
    touch "$out/.classes"
fi
printf '%s\n' "$jdk/bin/java" >"$out/java"
