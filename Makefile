# SPDX-License-Identifier: GPL-2.0
# What an administrator and a developer call; `make help` explains.  The kernel
# side is described in Kbuild, this file only calls the kernel's build system.

TOP     := $(CURDIR)
B       := build
CACHE   := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/vxhs

PREFIX  ?= /usr/local
SBINDIR ?= $(PREFIX)/sbin
MANDIR  ?= $(PREFIX)/share/man
UDEVDIR ?= $(PREFIX)/lib/udev/rules.d
UNITDIR ?= $(PREFIX)/lib/systemd/system
USERDIR ?= $(PREFIX)/lib/sysusers.d
MODDIR  ?= $(PREFIX)/lib/modules-load.d
COMPDIR ?= $(PREFIX)/share/bash-completion/completions
DOCDIR  ?= $(PREFIX)/share/doc/vxhs

CC      ?= cc
CFLAGS  ?= -O2 -g
WERROR  ?= -Werror
TOOL_CFLAGS := -std=c11 -D_GNU_SOURCE -Wall -Wextra $(WERROR) \
	       -Iinclude/uapi -Idrivers/vxhs
SANITIZE := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all \
	    -fno-omit-frame-pointer

# The kernel the module is for: the running one, unless KDIR names another.
KDIR    ?= /lib/modules/$(shell uname -r)/build
KREL     = $(shell $(MAKE) -s -C $(KDIR) kernelrelease)

# The kernel of the test VM, the newest Debian 6.12 that is installed.
VM_KREL  = $(shell tests/vm/kernel)
VM_KDIR  = /lib/modules/$(VM_KREL)/build
UML_KDIR = $(shell tests/uml/build.sh)

.PHONY: all
all: tools
ifneq ($(wildcard $(KDIR)/Makefile),)
all: module
else
all:
	@echo "No headers of the running kernel ($(KDIR)): module not built." \
	      "Install them, or name a kernel's build folder with KDIR=..."
endif

## The kernel module.  6.12's kbuild writes next to the sources it is given,
## so each kernel gets a farm of links to them, and the tree stays clean.
KERNEL_SRC := $(wildcard Kbuild drivers/vxhs/* include/uapi/linux/* \
		include/linux/* include/trace/events/*)

# $(call kbuild,FARM,KERNEL BUILD FOLDER,FURTHER ARGUMENTS)
define kbuild
	@tests/lib/farm.sh $(1)
	+$(MAKE) --no-print-directory -C $(2) M=$(TOP)/$(1) \
		CONFIG_BLK_DEV_VXHS=m $(3) modules
endef

.PHONY: module vm-module uml-module
module:
	@test -e $(KDIR)/Makefile || { echo "No kernel headers in $(KDIR):" \
		"install them (linux-headers-$$(uname -r)) or set KDIR=..." >&2; \
		exit 1; }
	$(call kbuild,$(B)/module,$(KDIR),)
	@echo "Built $(B)/module/drivers/vxhs/vxhs.ko for $(KREL)"

vm-module: $(B)/vm/vxhs.ko
$(B)/vm/vxhs.ko: $(KERNEL_SRC) Makefile tests/lib/farm.sh \
		 $(wildcard /boot/vmlinuz-6.12*-amd64)
	$(call kbuild,$(B)/vm/src,$(VM_KDIR),W=1)
	@cp $(B)/vm/src/drivers/vxhs/vxhs.ko $@

uml-module: $(B)/uml/vxhs.ko
$(B)/uml/vxhs.ko: $(KERNEL_SRC) Makefile tests/lib/farm.sh tests/uml/config
	@test -n "$(UML_KDIR)"
	$(call kbuild,$(B)/uml/src,$(UML_KDIR),ARCH=um CONFIG_BLK_DEV_VXHS_KUNIT=y W=1)
	@cp $(B)/uml/src/drivers/vxhs/vxhs.ko $@

## The tools, each also with sanitizers for the tests.
# vxhsctl reads what vxhsd has written down, with the same code.
vxhsctl_SRC  := $(sort $(wildcard tools/vxhsctl/*.c)) \
		$(addprefix tools/vxhsd/,lease_record.c serving.c util.c)
vxhsd_SRC    := $(sort $(wildcard tools/vxhsd/*.c tools/lib/*.c)) \
		drivers/vxhs/wire.c
vxhs-handshake_SRC := $(sort $(wildcard tools/vxhs-handshake/*.c \
		tools/lib/*.c)) tools/vxhsd/util.c
vxhsctl_LIBS := -lmnl -ljson-c
vxhsd_LIBS   := -luring -linih -lisal -lgnutls -lseccomp -lpthread
vxhs-handshake_LIBS := -lmnl -linih -lgnutls
# What it says is looked at.
vxhs-handshake_session_test_LIBS := -Wl,--wrap=log_line,--wrap=ktls_install
TOOLS        := vxhsctl vxhsd vxhs-handshake

# $(call tool,NAME,FOLDER,FLAGS)
define tool
$(B)/$(2)/$(1): $$($(1)_SRC:%.c=$(B)/$(2)/obj/%.o)
	$$(CC) $(3) $$(LDFLAGS) -o $$@ $$^ $$($(1)_LIBS)
endef
$(foreach t,$(TOOLS),$(eval $(call tool,$(t),tools,$$(CFLAGS))))
$(foreach t,$(TOOLS),$(eval $(call tool,$(t),asan,$$(SANITIZE))))

$(B)/tools/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(TOOL_CFLAGS) $(CFLAGS) $(CPPFLAGS) -MMD -MP -c -o $@ $<
$(B)/asan/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(TOOL_CFLAGS) $(SANITIZE) -Itools/vxhsd -Itools/vxhsctl \
		-MMD -MP -c -o $@ $<
-include $(shell find $(B)/tools/obj $(B)/asan/obj -name '*.d' 2>/dev/null)

.PHONY: tools asan
tools: $(TOOLS:%=$(B)/tools/%)
asan: $(TOOLS:%=$(B)/asan/%)

# Unit tests: tests/unit/NAME_test.c; one named after a tool has all of the
# tool but its main().
UNIT := $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/*_test.c))
unit_objs = $(sort $(patsubst %.c,$(B)/asan/obj/%.o,tests/unit/$(1).c \
	drivers/vxhs/wire.c $(foreach t,$(TOOLS), \
	$(if $(filter $(t)_%,$(1)),$(filter-out %/main.c,$($(t)_SRC))))))
define unit
$(B)/asan/unit/$(1): $(call unit_objs,$(1))
	@mkdir -p $$(@D)
	$$(CC) $$(SANITIZE) -o $$@ $$^ -lcmocka -lisal \
		$$(if $$(filter vxhsd_%,$(1)),$$(vxhsd_LIBS)) \
		$$(if $$(filter vxhsctl_%,$(1)),$$(vxhsctl_LIBS)) \
		$$(if $$(filter vxhs-handshake_%,$(1)),$$(vxhs-handshake_LIBS)) \
		$$($(1)_LIBS)
endef
$(foreach u,$(UNIT),$(eval $(call unit,$(u))))
.PHONY: unit-tests
unit-tests: $(UNIT:%=$(B)/asan/unit/%)

# What the benchmark has of its own.
$(B)/bench/floor: tests/bench/floor.c Makefile
	@mkdir -p $(@D)
	$(CC) $(TOOL_CFLAGS) $(CFLAGS) $(CPPFLAGS) -o $@ $<

## Fuzzers: libFuzzer's targets with sanitizers, the same for coverage, and
## what lies to the driver in user-mode Linux.
CLANG   ?= clang
comma   := ,
FUZZ_CFLAGS := -Itools/vxhsd $(TOOL_CFLAGS) -Wno-c2x-extensions -O1 -g \
	       -fno-omit-frame-pointer
FUZZ_SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all
FUZZ_COVERAGE := -fprofile-instr-generate -fcoverage-mapping
FUZZERS := wire conn
wire_fuzz_SRC := tests/fuzz/wire_fuzz.c drivers/vxhs/wire.c
wire_fuzz_LIBS := -lisal
# sim.c stands for the rest.
conn_fuzz_SRC := tests/fuzz/conn_fuzz.c tests/fuzz/sim.c \
	$(filter-out tools/lib/% tools/vxhsd/tls_% tools/vxhsd/privilege% \
		$(addprefix tools/vxhsd/,audit.c backend_file_open.c listen.c \
			log.c loop.c main.c), \
		$(vxhsd_SRC))
conn_fuzz_LIBS := -luring -linih -lisal -lpthread \
	$(addprefix -Wl$(comma)--wrap=,now_us getrandom stat close shutdown \
		setsockopt getpeername sendmsg malloc calloc realloc \
		aligned_alloc strdup)
# $(call fuzzer,TARGET)
define fuzzer
$(B)/fuzz/$(1)_fuzz: $$($(1)_fuzz_SRC:%.c=$(B)/fuzz/san/%.o)
	$$(CLANG) $$(FUZZ_SANITIZE) -fsanitize=fuzzer -o $$@ $$^ \
		$$($(1)_fuzz_LIBS)
$(B)/fuzz/$(1)_cov: $$($(1)_fuzz_SRC:%.c=$(B)/fuzz/cov/%.o)
	$$(CLANG) $$(FUZZ_COVERAGE) -fsanitize=fuzzer -o $$@ $$^ \
		$$($(1)_fuzz_LIBS)
endef
$(foreach f,$(FUZZERS),$(eval $(call fuzzer,$(f))))
$(B)/fuzz/san/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CLANG) $(FUZZ_CFLAGS) $(FUZZ_SANITIZE) -fsanitize=fuzzer-no-link \
		-MMD -MP -c -o $@ $<
$(B)/fuzz/cov/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CLANG) $(FUZZ_CFLAGS) $(FUZZ_COVERAGE) -MMD -MP -c -o $@ $<
$(B)/fuzz/hostile: tests/fuzz/hostile.c drivers/vxhs/wire.c Makefile
	@mkdir -p $(@D)
	$(CC) $(TOOL_CFLAGS) $(CFLAGS) -o $@ $(filter %.c,$^) -lisal
$(B)/fuzz/hammer: tests/fuzz/hammer.c Makefile
	@mkdir -p $(@D)
	$(CC) $(TOOL_CFLAGS) $(CFLAGS) -o $@ $< -luring
-include $(shell find $(B)/fuzz -name '*.d' 2>/dev/null)

.PHONY: fuzzers
fuzzers: $(FUZZERS:%=$(B)/fuzz/%_fuzz) $(B)/fuzz/hostile $(B)/fuzz/hammer

# For TLS on a host whose kernel has none.
$(B)/softktls.so: tests/lib/softktls.c Makefile
	@mkdir -p $(@D)
	$(CC) $(TOOL_CFLAGS) $(CFLAGS) -fPIC -shared -o $@ $< -lgnutls -ldl
# A server that floods its clients, for the VM.
$(B)/empty_records: tests/lib/empty_records.c Makefile
	@mkdir -p $(@D)
	$(CC) $(TOOL_CFLAGS) $(CFLAGS) -o $@ $< -lgnutls

## Installing.
.PHONY: install uninstall modules_install
# $(call put,MODE,FILES,FOLDER): whichever of FILES exist
put = $(foreach f,$(wildcard $(2)),install -D -m $(1) $(f) \
	$(DESTDIR)$(3)/$(notdir $(f)) &&) true
COMPLETION := tools/vxhsctl/vxhsctl.bash-completion
UNIT_FILES := $(wildcard tools/*/*.service)
install: tools
	$(call put,755,$(TOOLS:%=$(B)/tools/%),$(SBINDIR))
	$(call put,644,Documentation/man/*.8,$(MANDIR)/man8)
	$(call put,644,tools/udev/*.rules,$(UDEVDIR))
	$(call put,644,Documentation/examples/*,$(DOCDIR)/examples)
	$(if $(wildcard $(COMPLETION)),install -D -m 644 $(COMPLETION) \
		$(DESTDIR)$(COMPDIR)/vxhsctl)
	$(if $(UNIT_FILES),install -d $(DESTDIR)$(UNITDIR))
	$(foreach u,$(UNIT_FILES),sed 's|@SBINDIR@|$(SBINDIR)|g' $(u) \
		>$(DESTDIR)$(UNITDIR)/$(notdir $(u)) &&) true
	install -D -m 644 tools/vxhsd/vxhsd.sysusers \
		$(DESTDIR)$(USERDIR)/vxhsd.conf
	install -D -m 644 tools/vxhsd/vxhsd.modules \
		$(DESTDIR)$(MODDIR)/vxhsd.conf

modules_install: module
	install -D -m 644 $(B)/module/drivers/vxhs/vxhs.ko \
		$(DESTDIR)/lib/modules/$(KREL)/updates/vxhs.ko
	$(if $(DESTDIR),,depmod $(KREL))

uninstall:
	rm -f $(TOOLS:%=$(DESTDIR)$(SBINDIR)/%)
	rm -f $(patsubst Documentation/man/%,$(DESTDIR)$(MANDIR)/man8/%, \
		$(wildcard Documentation/man/*.8))
	rm -f $(patsubst tools/udev/%,$(DESTDIR)$(UDEVDIR)/%, \
		$(wildcard tools/udev/*.rules))
	rm -f $(DESTDIR)$(COMPDIR)/vxhsctl
	rm -f $(addprefix $(DESTDIR)$(UNITDIR)/,$(notdir $(UNIT_FILES)))
	rm -f $(DESTDIR)$(USERDIR)/vxhsd.conf $(DESTDIR)$(MODDIR)/vxhsd.conf
	rm -rf $(DESTDIR)$(DOCDIR)
	rm -f $(DESTDIR)/lib/modules/*/updates/vxhs.ko

## Trying and testing.
.PHONY: setup demo check soak bench profile netlink-gen netlink-check
setup:
	@tests/lib/setup.sh all
demo:
	@tests/demo/demo.sh
check:
	@tests/check.sh
CHECKS := $(addprefix check-,build unit uml vm)
.PHONY: $(CHECKS)
$(CHECKS):
	@tests/check.sh $(@:check-%=%)

# So long for each target; those on the host run at the same time.
MINUTES ?= 60
.PHONY: fuzz
fuzz:
	@tests/lib/setup.sh check
	@$(MAKE) --no-print-directory -s fuzzers $(FUZZERS:%=$(B)/fuzz/%_cov)
	@tests/fuzz/run.sh $(MINUTES)
	@PATH="$$PATH:/usr/sbin:/sbin" tests/uml/run \
		--timeout $$(($(MINUTES) * 60 + 1200)) -- env \
		FUZZ_SECONDS=$$(($(MINUTES) * 60)) tests/uml/leak-check.sh \
		tests/functional/uml_fuzz.py

# HOURS of faults; SEED=N: another order of them.
soak:
	@tests/lib/setup.sh check
	@PATH="$$PATH:/usr/sbin:/sbin" tests/fault/soak.sh "$(HOURS)" $(SEED)

# QUICK=1: the rows that have a goal, in shorter runs.
bench:
	@tests/lib/setup.sh bench
	@$(MAKE) --no-print-directory -s $(B)/bench/floor
	@PATH="$$PATH:/usr/sbin:/sbin" tests/bench/bench.py $(if $(QUICK),--quick)

# ROW: a row of tests/bench/cases.py; DIGESTS=1: with CRC32C; TLS=1: with TLS.
profile:
	@tests/lib/setup.sh bench
	@tests/bench/profile.py $(ROW) $(if $(DIGESTS),--digests) $(if $(TLS),--tls)

netlink-gen:
	@tests/lib/netlink-gen.sh
netlink-check:
	@tests/lib/netlink-gen.sh --check

.PHONY: clean help
clean:
	rm -rf $(B)

help:
	@echo 'For the administrator of a host:'
	@echo '  all              tools, and the module if the running kernel has headers (default)'
	@echo '  module           vxhs.ko for KDIR=/lib/modules/$$(uname -r)/build'
	@echo '  tools            vxhsctl, vxhsd and vxhs-handshake, in build/tools'
	@echo '  install          tools, man pages, udev rule, completion (PREFIX=/usr/local, DESTDIR=)'
	@echo '  modules_install  vxhs.ko into /lib/modules, and depmod'
	@echo '  uninstall        removes what both have installed'
	@echo 'To see it work, on Debian 12, nothing of the host is changed but packages:'
	@echo '  setup            installs the packages that the targets below need'
	@echo '  demo             a QEMU guest uses a disk over the network, in a throwaway VM'
	@echo '  check            all tests; the last line is "N passed, N failed"'
	@echo '    check-build      compilers, sparse, checkpatch, shellcheck, generated files'
	@echo '    check-unit       unit tests and vxhsd on this host, with sanitizers'
	@echo '    check-uml        KUnit and functional tests in user-mode Linux, with sanitizers'
	@echo '    check-vm         functional tests in a VM of the stock Debian kernel'
	@echo '  soak             faults under load for HOURS=n; results in build/soak'
	@echo '  fuzz             each fuzzer for MINUTES=n: executions, coverage, findings'
	@echo '  bench            vxhs beside NVMe/TCP and nbd: tables and plots in Documentation/performance;'
	@echo '                   QUICK=1 takes 5 minutes, and writes to build/bench'
	@echo '  profile          where ROW=randread-4k-qd32 spends its instructions, by function'
	@echo 'For the developer:'
	@echo '  vm-module        vxhs.ko for the VM (tests/vm/run -- COMMAND runs anything in it)'
	@echo '  uml-module       vxhs.ko with KUnit for user-mode Linux (tests/uml/run -- COMMAND)'
	@echo '  asan unit-tests  tools and unit tests with sanitizers, in build/asan'
	@echo '  netlink-gen      renews the files made from Documentation/netlink/specs/vxhs.yaml'
	@echo '  netlink-check    fails if they are stale'
	@echo '  clean            removes build/'
