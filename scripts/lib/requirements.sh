# shellcheck shell=bash
# Which programs the stack and the build need, what is missing, and how to get it.

missing_packages=()
missing_words=()

# Whether what is missing may be installed: when asked to (STACK_INSTALL=1, or CI) and able to.
may_install() {
  [[ ${STACK_INSTALL:-} == 1 || ${CI:-} == true ]] && have apt-get && can_be_root
}

# need PROGRAM PACKAGE WHAT_FOR
need() {
  PATH=$PATH:/usr/sbin:/sbin have "$1" && return 0
  missing_packages+=("$2")
  missing_words+=("$1, for $3 (Debian: apt-get install $2)")
}

need_java() {
  local version
  if have java; then
    version=$(java -version 2>&1 | sed -nE 's/.*version "([0-9]+).*/\1/p' | head -n 1)
    ((${version:-0} >= 17)) && return 0
    missing_words+=("Java 17 or later, for Kafka and the registry; 'java' is version ${version:-unknown} (Debian: apt-get install default-jre-headless)")
  else
    missing_words+=("java 17 or later, for Kafka and the registry (Debian: apt-get install default-jre-headless)")
  fi
  missing_packages+=(default-jre-headless)
}

# What building and testing the workspace needs besides the stack.
need_build_tools() {
  have cargo || missing_words+=("cargo, for building (by rustup, which reads rust-toolchain.toml)")
  need cc build-essential "building librdkafka"
  need make build-essential "building librdkafka"
  need pkg-config pkg-config "finding OpenSSL"
  if have pkg-config && ! pkg-config --exists openssl; then
    missing_packages+=(libssl-dev)
    missing_words+=("OpenSSL's headers, for TLS to Kafka and PostgreSQL (Debian: apt-get install libssl-dev)")
  fi
  # Elsewhere the page's test says what it lacks, and is left out.
  if [[ ${CI:-} == true ]]; then need chromium chromium "testing the page"; fi
}

# What the native stack needs; a part that is already unpacked needs less.
need_native_tools() {
  [[ $(uname -s) == Linux ]] ||
    die "without Docker the stack runs on Linux only; start a Docker engine, or set KAFKA_BROKERS, SCHEMA_REGISTRY_URL and DATABASE_URL"
  need setpriv util-linux "running the steps"
  need flock util-linux "locking"
  need curl curl "asking the registry whether it is up"
  if wanted kafka || wanted registry; then
    need_java
    kafka_is_unpacked && registry_is_unpacked || need mvn maven "downloading Kafka and the registry"
  fi
  if wanted redis; then need redis-server redis-server "rate limits that hold across instances"; fi
  if wanted timescaledb; then
    timescaledb_is_unpacked || need debootstrap debootstrap "unpacking PostgreSQL and TimescaleDB"
    timescaledb_is_unpacked || [[ -e /usr/share/keyrings/debian-archive-keyring.gpg ]] || {
      missing_packages+=(debian-archive-keyring)
      missing_words+=("Debian's keys, for verifying TimescaleDB's packages (apt-get install debian-archive-keyring)")
    }
    can_be_root ||
      missing_words+=("root, or sudo without a password, for TimescaleDB's chroot (or set DATABASE_URL to a server that has the extension, or start a Docker engine)")
  fi
}

# settle_requirements CHECK: installs what is missing if that may be done; reports the rest,
# all of it at once. CHECK is the function that looks for what is missing.
settle_requirements() {
  ((${#missing_words[@]})) || return 0
  if ((${#missing_packages[@]})) && may_install; then
    local packages
    mapfile -t packages < <(printf '%s\n' "${missing_packages[@]}" | sort -u)
    mkdir -p "$stack_dir/logs"
    long_step "installing ${packages[*]}" "$stack_dir/logs/apt-get.log" \
      "${as_root[@]}" sh -c 'apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"' sh "${packages[@]}"
    # Once more, without installing: whatever a package could not bring is reported.
    missing_packages=() missing_words=() STACK_INSTALL='' CI=''
    "$1"
    settle_requirements "$1"
    return 0
  fi
  {
    echo "stack: missing on this machine:"
    printf '  - %s\n' "${missing_words[@]}"
    if ((${#missing_packages[@]})) && have apt-get; then
      echo "Install them all:  apt-get install -y $(printf '%s\n' "${missing_packages[@]}" | sort -u | tr '\n' ' ')"
      echo "or run this again with STACK_INSTALL=1 as root."
    fi
  } >&2
  exit 1
}
