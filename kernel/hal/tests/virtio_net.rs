//! The kernel's driver of network cards against a card made of plain code; see `virtio_queue.rs`.
#![expect(dead_code, reason = "what only the kernel uses")]
#![expect(clippy::unwrap_used, clippy::tests_outside_test_module, reason = "the whole file is tests")]

extern crate alloc;

mod devices;

/// Stand-ins for the kernel's module of the same name.
mod machine {
    use std::cell::RefCell;
    use std::time::Duration;

    type Step = Box<dyn FnMut()>;

    std::thread_local! {
        /// What the device does while the driver waits.
        pub(crate) static DEVICE: RefCell<Option<Step>> = const { RefCell::new(None) };
    }

    pub(crate) fn spin_until(_: Duration, mut ready: impl FnMut() -> bool) -> bool {
        DEVICE.with_borrow_mut(|device| device.iter_mut().for_each(|step| step()));
        ready()
    }
}

#[path = "."]
mod virtio {
    #[path = "../../src/drivers/virtio/queue.rs"]
    pub(crate) mod queue;

    #[path = "."]
    pub(crate) mod net {
        #[path = "../../src/drivers/virtio/net/control.rs"]
        pub(crate) mod control;
        #[path = "../../src/drivers/virtio/net/header.rs"]
        pub(crate) mod header;
        #[path = "../../src/drivers/virtio/net/receive.rs"]
        #[expect(unsafe_code, reason = "as in the kernel")]
        pub(crate) mod receive;
        #[path = "../../src/drivers/virtio/net/ring.rs"]
        pub(crate) mod ring;
        #[path = "../../src/drivers/virtio/net/setup.rs"]
        pub(crate) mod setup;
        #[path = "../../src/drivers/virtio/net/transmit.rs"]
        #[expect(unsafe_code, reason = "as in the kernel")]
        pub(crate) mod transmit;

        #[path = "virtio_net/commands.rs"]
        mod commands;
        #[path = "virtio_net/frames.rs"]
        mod frames;
        #[path = "virtio_net/settings.rs"]
        mod settings;
    }
}

use devices::region;
