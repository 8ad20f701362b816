//! Address spaces on the host's fakes, and a long random comparison with a model made of byte arrays.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use hal::fake::FakeMachine;
use hal::{Access, Frame, PAGE_SIZE, PageFault, PageRange, Prot, UserAddr};

use super::*;

const PAGE: u64 = PAGE_SIZE as u64;
const RW: Prot = Prot::READ.union(Prot::WRITE);

fn new_vm() -> Arc<Vm> {
    let vm = Vm::new(&FakeMachine::new(1).platform).unwrap();
    vm.set_layout(VmLayout { mmap_base: 0x7fff_0000_0000, ..VmLayout::default() });
    vm
}

fn access(vm: &Vm, at: u64, access: Access) -> Result<Frame, FaultKind> {
    vm.fault(&PageFault { addr: at, access, protection: false })?;
    let mapped = vm.space().lookup(UserAddr(at).page()).expect("resolved");
    let needed = if access == Access::Write { Prot::WRITE } else { Prot::READ };
    assert!(mapped.prot.contains(needed), "resolved faults permit the access");
    Ok(mapped.frame)
}

fn load(vm: &Vm, at: u64) -> Result<u8, FaultKind> {
    let frame = access(vm, at, Access::Read)?;
    let mut byte = [0];
    frame.read(UserAddr(at).page_offset(), &mut byte);
    Ok(byte[0])
}

fn store(vm: &Vm, at: u64, byte: u8) -> Result<(), FaultKind> {
    access(vm, at, Access::Write)?.write(UserAddr(at).page_offset(), &[byte]);
    Ok(())
}

fn anonymous(vm: &Vm, pages: u64, prot: Prot) -> u64 {
    vm.map(MapRequest::anonymous(Place::Anywhere, pages * PAGE, prot)).unwrap().0
}

fn range(start: u64, pages: u64) -> PageRange {
    PageRange::try_from_len(UserAddr(start), pages * PAGE).unwrap()
}

/// A file in memory, whose pages have to be prepared before they are written.
struct File {
    pages: Vec<Frame>,
    writes: AtomicU64,
}

impl File {
    fn new(pages: u8) -> Arc<Self> {
        let page = |i: u8| {
            let frame = Frame::zeroed().unwrap();
            frame.write(0, &[i + 1; 16]);
            frame
        };
        Arc::new(Self { pages: (0..pages).map(page).collect(), writes: 0.into() })
    }
}

impl PageSource for File {
    fn page(&self, index: u64) -> Result<Frame> {
        self.pages.get(usize::try_from(index).unwrap()).cloned().ok_or(Errno::EINVAL)
    }
    fn resident(&self, index: u64) -> Option<Frame> {
        self.page(index).ok()
    }
    fn page_for_write(&self, index: u64) -> Result<Frame> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.page(index)
    }
    fn notes_writes(&self) -> bool {
        true
    }
    fn identity(&self) -> u64 {
        core::ptr::from_ref(self).addr() as u64
    }
    fn name(&self) -> SourceName {
        SourceName { path: b"/file".to_vec(), device: 1, inode: 2 }
    }
    fn sync(&self, _: core::ops::Range<u64>) -> Result<()> {
        Ok(())
    }
    fn punch(&self, _: core::ops::Range<u64>) -> Result<()> {
        Err(Errno::EOPNOTSUPP)
    }
}

#[test]
fn untouched_memory_reads_as_zeros_and_costs_nothing() {
    let vm = new_vm();
    let at = anonymous(&vm, 1 << 17, RW);
    assert_eq!(load(&vm, at + 5 * PAGE), Ok(0));
    store(&vm, at + 7, 9).unwrap();
    assert_eq!((load(&vm, at + 7), load(&vm, at + 8)), (Ok(9), Ok(0)));
    let statistics = vm.statistics();
    assert_eq!((statistics.size, statistics.resident), (PAGE << 17, 2 * PAGE));
    vm.unmap(UserAddr(at), PAGE << 17).unwrap();
    assert_eq!(load(&vm, at), Err(FaultKind::NotMapped));
    assert_eq!(vm.statistics().resident, 0);
}

#[test]
fn more_memory_than_there_is_is_refused_unless_nothing_is_promised() {
    let vm = new_vm();
    let len = (Frame::usage().total + 1) * PAGE;
    let request = MapRequest::anonymous(Place::Anywhere, len, RW);
    assert_eq!(vm.map(request.clone()), Err(Errno::ENOMEM));
    assert!(vm.map(MapRequest { flags: AreaFlags::NORESERVE, ..request.clone() }).is_ok());
    assert!(vm.map(MapRequest { prot: Prot::empty(), ..request }).is_ok());
}

#[test]
fn fork_shares_until_someone_writes() {
    let vm = new_vm();
    let at = anonymous(&vm, 4, RW);
    for page in 0..4 {
        store(&vm, at + page * PAGE, 1).unwrap();
    }
    vm.advise(range(at + 2 * PAGE, 1), Advice::DontFork).unwrap();
    vm.advise(range(at + 3 * PAGE, 1), Advice::WipeOnFork).unwrap();
    let child = vm.fork(3).unwrap();
    store(&vm, at, 2).unwrap();
    store(&child, at + PAGE, 3).unwrap();
    assert_eq!((load(&child, at), load(&vm, at + PAGE)), (Ok(1), Ok(1)));
    assert_eq!(load(&child, at + 2 * PAGE), Err(FaultKind::NotMapped));
    assert_eq!((load(&child, at + 3 * PAGE), load(&vm, at + 3 * PAGE)), (Ok(0), Ok(1)));
    // The last owner writes without a copy.
    let frame = child.space().lookup(UserAddr(at)).unwrap().frame.number();
    store(&child, at, 4).unwrap();
    assert_eq!(child.space().lookup(UserAddr(at)).unwrap().frame.number(), frame);
}

#[test]
fn shared_memory_is_shared_and_private_files_are_copied() {
    let vm = new_vm();
    let object = SharedObject::new(2, SourceName::default());
    let mut request = MapRequest::private_file(Place::Anywhere, 2 * PAGE, RW, object, 0);
    request.flags = AreaFlags::SHARED;
    let at = vm.map(request).unwrap().0;
    let child = vm.fork(3).unwrap();
    store(&child, at, 5).unwrap();
    assert_eq!(load(&vm, at), Ok(5));

    let file = File::new(2);
    let at = vm.map(MapRequest::private_file(Place::Anywhere, 3 * PAGE, RW, file.clone(), 0)).unwrap().0;
    assert_eq!((load(&vm, at), load(&vm, at + PAGE)), (Ok(1), Ok(2)));
    store(&vm, at, 9).unwrap();
    let mut byte = [0];
    file.pages[0].read(0, &mut byte);
    assert_eq!(byte, [1], "the file keeps its bytes");
    assert_eq!(load(&vm, at + 2 * PAGE), Err(FaultKind::NoPage), "behind the end of the file");
    vm.write_initial(UserAddr(at + 0xff0), &[7; 32]).unwrap();
    assert_eq!((load(&vm, at + 0xff0), load(&vm, at + 0x100f)), (Ok(7), Ok(7)));
}

#[test]
fn the_first_write_to_a_shared_file_page_is_noted() {
    let vm = new_vm();
    let file = File::new(2);
    let mut request = MapRequest::private_file(Place::Anywhere, 2 * PAGE, RW, file.clone(), 0);
    request.flags = AreaFlags::SHARED;
    let at = vm.map(request).unwrap().0;
    assert_eq!(load(&vm, at), Ok(1));
    assert_eq!(file.writes.load(Ordering::Relaxed), 0);
    store(&vm, at, 8).unwrap();
    store(&vm, at + 1, 8).unwrap();
    assert_eq!(file.writes.load(Ordering::Relaxed), 1);
    vm.unmap_source(file.identity(), 0..1, Keep::Private);
    assert!(vm.space().lookup(UserAddr(at)).is_none(), "a page taken back is asked for again");
}

#[test]
fn a_stack_grows_down_to_its_limit_and_keeps_its_distance() {
    let vm = new_vm();
    let top = 0x7000_0000_0000;
    let mut request = MapRequest::anonymous(Place::Fixed(UserAddr(top - 4 * PAGE)), 4 * PAGE, RW);
    request.flags = AreaFlags::GROWSDOWN;
    vm.map(request).unwrap();
    store(&vm, top - 100 * PAGE, 1).unwrap();
    assert_eq!(vm.statistics().stack, 100 * PAGE);
    assert_eq!(store(&vm, top - (8 << 20) - 1, 1), Err(FaultKind::NotMapped), "beyond RLIMIT_STACK");
    let below = top - 1000 * PAGE;
    vm.map(MapRequest::anonymous(Place::Fixed(UserAddr(below)), PAGE, RW)).unwrap();
    assert_eq!(store(&vm, below + 2 * PAGE, 1), Err(FaultKind::NotMapped), "the guard gap");
    store(&vm, below + 257 * PAGE, 1).unwrap();
}

#[test]
fn large_areas_used_in_order_get_large_pages() {
    let vm = new_vm();
    let at = anonymous(&vm, 2048, RW).next_multiple_of(512 * PAGE);
    store(&vm, at, 1).unwrap();
    assert_eq!(vm.statistics().resident, PAGE, "the first touch alone is no reason");
    store(&vm, at + 511 * PAGE, 1).unwrap();
    store(&vm, at + 512 * PAGE, 1).unwrap();
    assert_eq!(vm.statistics().resident, 514 * PAGE);
}

#[test]
fn the_heap_moves_between_its_start_and_what_is_in_the_way() {
    let vm = new_vm();
    vm.set_brk_start(UserAddr(0x10_0000));
    assert_eq!(vm.brk(UserAddr(0), u64::MAX), UserAddr(0x10_0000));
    assert_eq!(vm.brk(UserAddr(0x10_2345), u64::MAX), UserAddr(0x10_2345));
    store(&vm, 0x10_2fff, 1).unwrap();
    vm.map(MapRequest::anonymous(Place::Fixed(UserAddr(0x10_5000)), PAGE, RW)).unwrap();
    assert_eq!(vm.brk(UserAddr(0x10_5001), u64::MAX), UserAddr(0x10_2345), "in the way");
    assert_eq!(vm.brk(UserAddr(0x10_0001), u64::MAX), UserAddr(0x10_0001));
    assert_eq!(load(&vm, 0x10_2fff), Err(FaultKind::NotMapped));
}

/// What the model knows of a page: protection and bytes; only the first byte of each page is ever written.
type ModelPage = Option<(Prot, u8)>;

const WINDOW: usize = 64;
const BASE: u64 = 0x4000_0000_0000;

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    fn span(&mut self) -> (usize, usize) {
        let start = self.below(WINDOW);
        (start, 1 + self.below((WINDOW - start).min(12)))
    }

    fn prot(&mut self) -> Prot {
        [Prot::empty(), Prot::READ, RW, RW, RW][self.below(5)]
    }
}

fn at(page: usize) -> u64 {
    BASE + page as u64 * PAGE
}

fn step(vm: &Vm, model: &mut [ModelPage], random: &mut Random) {
    let (start, count) = random.span();
    let len = count as u64 * PAGE;
    let whole = model[start..start + count].iter().all(Option::is_some);
    match random.below(10) {
        0 | 1 => {
            let prot = random.prot();
            vm.map(MapRequest::anonymous(Place::Fixed(UserAddr(at(start))), len, prot)).unwrap();
            model[start..start + count].fill(Some((prot, 0)));
        }
        2 => {
            vm.unmap(UserAddr(at(start)), len).unwrap();
            model[start..start + count].fill(None);
        }
        3 | 4 => {
            let prot = random.prot();
            let result = vm.protect(UserAddr(at(start)), len, prot, Stretch::No);
            assert_eq!(result.is_ok(), whole);
            for page in model[start..start + count].iter_mut().map_while(Option::as_mut) {
                page.0 = prot;
            }
        }
        5 => {
            let result = vm.advise(range(at(start), count as u64), Advice::DontNeed);
            assert_eq!(result.is_ok(), whole);
            model[start..start + count].iter_mut().flatten().for_each(|page| page.1 = 0);
        }
        6 => {
            let to = random.below(WINDOW - count + 1);
            let one_area = whole
                && model[start..start + count].iter().all(|p| p.map(|p| p.0) == model[start].map(|p| p.0));
            let apart = to + count <= start || start + count <= to;
            let request = RemapRequest {
                at: UserAddr(at(start)),
                old_len: len,
                new_len: len,
                place: RemapPlace::To(UserAddr(at(to))),
                lock_limit: u64::MAX,
            };
            let result = vm.remap(request);
            if one_area && apart {
                assert_eq!(result, Ok(UserAddr(at(to))));
                let moved: Vec<ModelPage> = model[start..start + count].to_vec();
                model[start..start + count].fill(None);
                model[to..to + count].copy_from_slice(&moved);
            } else {
                assert!(result.is_err());
                // LINUX: the target is unmapped before the source is looked at closely.
                if model[start].is_some() && apart {
                    model[to..to + count].fill(None);
                }
            }
        }
        _ => {
            let byte = u8::try_from(random.below(256)).unwrap();
            let result = store(vm, at(start), byte);
            match &mut model[start] {
                None => assert_eq!(result, Err(FaultKind::NotMapped)),
                Some((prot, _)) if !prot.contains(Prot::WRITE) => {
                    assert_eq!(result, Err(FaultKind::NotPermitted));
                }
                Some((_, old)) => {
                    assert_eq!(result, Ok(()));
                    *old = byte;
                }
            }
        }
    }
}

fn compare(vm: &Vm, model: &[ModelPage]) {
    let mut mapped = 0;
    for (page, expected) in model.iter().enumerate() {
        let found = load(vm, at(page));
        match expected {
            None => assert_eq!(found, Err(FaultKind::NotMapped)),
            Some((prot, _)) if prot.is_empty() => assert_eq!(found, Err(FaultKind::NotPermitted)),
            Some((_, byte)) => assert_eq!(found, Ok(*byte), "page {page}"),
        }
        mapped += u64::from(expected.is_some());
    }
    let statistics = vm.statistics();
    assert_eq!(statistics.size, mapped * PAGE);
    let everything = PageRange::try_new(UserAddr(0), UserAddr(hal::USER_END)).unwrap();
    assert_eq!(statistics.resident, vm.space().resident(everything) * PAGE);
    let lines = vm.maps();
    assert!(
        lines.windows(2).all(|w| w[0].end < w[1].start || w[0].prot != w[1].prot),
        "neighbours are joined"
    );
}

#[test]
fn random_operations_agree_with_a_model() {
    for seed in 0..40 {
        let mut random = Random(seed);
        let mut spaces = vec![(new_vm(), vec![None; WINDOW])];
        for round in 0..600 {
            let which = random.below(spaces.len());
            if random.below(60) == 0 && spaces.len() < 4 {
                let child = (spaces[which].0.fork(3).unwrap(), spaces[which].1.clone());
                spaces.push(child);
            } else {
                let (vm, model) = &mut spaces[which];
                step(vm, model, &mut random);
            }
            if round % 50 == 0 {
                spaces.iter().for_each(|(vm, model)| compare(vm, model));
            }
        }
    }
}
