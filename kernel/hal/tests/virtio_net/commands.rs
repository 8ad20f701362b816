//! Commands to a card.

use super::control::{Command, Control, DESCRIPTORS, filter};
use crate::devices::Device;
use crate::machine::DEVICE;
use crate::region::{Dma, Region};

/// Sends a command to a card that answers so, or not at all; returns the command's bytes and whether it was obeyed.
fn send(command: Command<'_>, answer: Option<u8>) -> (Vec<u8>, bool) {
    let (queue, mut device) = Device::new(DESCRIPTORS, 4, true);
    let mut control = Control::new(queue, Dma::new(1).unwrap());
    let seen = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let sink = std::rc::Rc::clone(&seen);
    DEVICE.set(Some(Box::new(move || {
        let (head, pieces) = device.take().unwrap();
        let [(from, len, false), (to, 1, true)] = pieces[..] else { panic!("{pieces:?}") };
        let mut bytes = vec![0; len as usize];
        let (region, at) = Region::at(from);
        region.copy_out(at, &mut bytes);
        sink.replace(bytes);
        if let Some(answer) = answer {
            let (region, at) = Region::at(to);
            region.write8(at, answer);
            device.finish(head.into(), 1);
        }
    })));
    let obeyed = control.send(command);
    DEVICE.set(None);
    (seen.take(), obeyed)
}

#[test]
fn commands_are_written_as_specified() {
    assert_eq!(send(Command::Promiscuous(true), Some(0)), (vec![0, 0, 1], true));
    assert_eq!(send(Command::Promiscuous(false), Some(0)), (vec![0, 0, 0], true));
    assert_eq!(send(Command::AllMulticast(true), Some(0)), (vec![0, 1, 1], true));
    assert_eq!(send(Command::Pairs(0x102), Some(0)), (vec![4, 0, 2, 1], true));
    assert_eq!(send(Command::Groups(&[]), Some(0)).0, [1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let groups = [[1, 0, 0x5e, 0, 0, 1], [0x33, 0x33, 0, 0, 0, 2]];
    let (bytes, obeyed) = send(Command::Groups(&groups), Some(0));
    assert!(obeyed);
    assert_eq!(bytes, [1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0x5e, 0, 0, 1, 0x33, 0x33, 0, 0, 0, 2]);
}

#[test]
fn a_card_may_refuse_or_not_answer() {
    assert!(!send(Command::Pairs(2), Some(1)).1);
    assert!(!send(Command::Pairs(2), Some(0xff)).1);
    assert!(!send(Command::Pairs(2), None).1);
}

#[test]
fn a_card_that_did_not_answer_is_told_nothing_more() {
    let (queue, mut device) = Device::new(DESCRIPTORS, 4, true);
    let mut control = Control::new(queue, Dma::new(1).unwrap());
    assert!(!control.send(Command::Promiscuous(true)));
    let (head, _) = device.take().unwrap();
    device.finish(head.into(), 1);
    assert!(!control.send(Command::Promiscuous(true)));
    assert!(device.take().is_none());
}

#[test]
fn more_groups_than_a_card_knows_are_all_groups() {
    let groups = [[1, 0, 0x5e, 0, 0, 1]; 65];
    let [promiscuous, all, list] = filter(false, &groups[..64]);
    assert_eq!(promiscuous, Command::Promiscuous(false));
    assert_eq!((all, list), (Command::AllMulticast(false), Command::Groups(&groups[..64])));
    let [promiscuous, all, list] = filter(true, &groups);
    assert_eq!(promiscuous, Command::Promiscuous(true));
    assert_eq!((all, list), (Command::AllMulticast(true), Command::Groups(&[])));
    assert_eq!(send(list, Some(0)).0.len(), 10);
    assert_eq!(send(Command::Groups(&groups), Some(0)).0.len(), 10 + 64 * 6, "never more than fit");
}
