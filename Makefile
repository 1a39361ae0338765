# SPDX-License-Identifier: GPL-2.0
# make help lists what there is.

.PHONY: help run check check-all check-64k check-kasan check-kcsan check-kmsan \
	check-rt check-user mutations coverage soak bench bench-guard bench-compat bench-record bench-readme \
	lint builds install-tree clean distclean

help:
	@echo 'A DMA-IOMMU layer for Linux 6.12, and a lab to run it in.'
	@echo
	@echo '  make run                      build, boot arm64 with an SMMUv3, show the layer at work'
	@echo '  make check                    run all tests; ends with "N passed, N failed"'
	@echo '  make check-all                and all slower ones there are, each of which can be had alone:'
	@echo '  make check-KIND               on kernels with pages of 64 KiB (64k), KASAN, KCSAN, KMSAN, PREEMPT_RT (rt)'
	@echo '  make bench CASE=addresses     count what the layer costs, beside the base; also CASE=lists, CASE=allin; see lab/bench --help'
	@echo '  make bench-guard              has anything become dearer by more than 2 % than what is recorded? bench-record records anew'
	@echo '  make bench-compat             is anybody served worse than by the base, in what drivers rely on?'
	@echo '  make bench-readme             measure CASE=allin, and show it in README.md, with a picture'
	@echo '  make check-user               the tests that need no kernel built, in three minutes; a part of make check'
	@echo '  make mutations                break the layer in ways that are listed, see a test notice each'
	@echo '  make coverage                 which lines and branches of the layer the tests reach; see lab/coverage --help'
	@echo '  make soak MINUTES=10          everything at once for that long; SEED=N repeats a run; see lab/soak --help'
	@echo '  make install-tree KSRC=DIR    put the layer into your own 6.12.y kernel tree'
	@echo '  make build/arm64              build one kernel; also x86_64, and KIND-ARCH: lab/build'
	@echo '  make lint                     sparse, clang, checkpatch and all else that finds mistakes by reading'
	@echo '  make builds                   compile the layer for other architectures, in other and random configurations'
	@echo '  make clean                    remove the kernels, keep what was downloaded and ccache'
	@echo '  make distclean                remove build/ altogether'
	@echo
	@echo 'lab/vm --help tells how to boot a machine and test a driver of your own.'

run:
	@lab/run

check:
	@lab/check

check-all:
	@lab/all

# The sanitizers and kernels of other kinds, each by itself
check-64k check-kasan check-kcsan check-rt: check-%:
	@lab/check --only smmuv3-$*

check-kmsan:
	@lab/check --only intel-kmsan

check-user:
	@lab/setup source user
	@lab/fetch
	@lab/overlay build/src
	@$(MAKE) --no-print-directory -C tools/testing/dma-iommu check

bench:
	@lab/bench --case '$(or $(CASE),addresses)'

bench-guard:
	@lab/guard

bench-compat:
	@lab/bench --case compat --judge

bench-record:
	@lab/guard --record

# What README.md shows of what it costs
bench-readme:
	@lab/bench --case allin
	@lab/bench --readme

# Faults put in on purpose, first those that programs in user space are to
# notice, then those for guests
mutations:
	@lab/setup source user
	@lab/fetch
	@lab/overlay build/src
	@status=0; \
	$(MAKE) --no-print-directory -C tools/testing/dma-iommu mutate || status=1; \
	lab/mutate all || status=1; exit $$status

coverage:
	@lab/coverage

lint:
	@lab/lint

builds:
	@lab/builds

soak:
	@lab/soak --minutes '$(or $(MINUTES),10)' $(if $(SEED),--seed '$(SEED)')

install-tree:
	@test -n '$(KSRC)' || { echo 'which tree? make install-tree KSRC=DIR' >&2; exit 2; }
	@lab/overlay --install '$(KSRC)'

define kernel
.PHONY: build/$(1)
build/$(1):
	@lab/build $(lastword $(subst -, ,$(1))) $(if $(findstring -,$(1)),$(firstword $(subst -, ,$(1))),lean)
endef
KERNELS := $(foreach a,arm64 x86_64,$(a) $(foreach k,debug stock kasan kcsan rt gcov,$(k)-$(a))) \
	   64k-arm64 kmsan-x86_64
$(foreach k,$(KERNELS),$(eval $(call kernel,$(k))))

clean:
	rm -rf $(addprefix build/,$(KERNELS) lint builds)

distclean:
	rm -rf build
