//! Who has which Ethernet address: the caches of ARP (RFC 826) and of neighbour discovery (RFC 4861).

use alloc::vec::Vec;
use core::net::IpAddr;

use hal::TxOffload;
use hashbrown::HashMap;

use crate::interface::Mac;

const SECOND: u64 = 1_000_000_000;

/// How long an answer holds before it is asked for again while it is used (`base_reachable_time`, twice).
const FRESH: u64 = 60 * SECOND;
/// How long a question waits for its answer, and how often it is asked (`mcast_solicit`).
pub(crate) const RETRY: u64 = SECOND;
const TRIES: u8 = 3;
/// Packets that wait for one neighbour.
const MOST_WAITING: usize = 64;
/// Neighbours that are remembered.
const MOST: usize = 4096;

/// What is known of a neighbour.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    /// Its address.
    Known(Mac),
    /// Its address, which should be asked for again; `again` says to ask the neighbour alone.
    KnownButAsk { mac: Mac, again: Option<Mac> },
    /// Nothing: ask everybody.
    Ask { again: Option<Mac> },
    /// Nothing yet: it was asked for.
    Wait,
}

/// What the tool `ip neigh` calls the state of an entry (`NUD_*`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    Incomplete = 1,
    Reachable = 2,
    Stale = 4,
    Permanent = 0x80,
}

/// A neighbour, for lists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NeighborRow {
    /// Its address.
    pub address: IpAddr,
    /// Its Ethernet address, if it is known.
    pub mac: Option<Mac>,
    /// How well it is known.
    pub reach: Reach,
}

struct Entry {
    mac: Option<Mac>,
    /// When it was last heard of.
    confirmed: u64,
    /// When it was last asked for, and how often in vain.
    asked: u64,
    tries: u8,
    permanent: bool,
    waiting: Vec<(Vec<u8>, TxOffload)>,
}

/// The neighbours behind one interface.
#[derive(Default)]
pub(crate) struct Neighbors {
    entries: HashMap<IpAddr, Entry>,
}

impl Neighbors {
    /// Looks a neighbour up, to send something to it.
    pub(crate) fn find(&mut self, address: IpAddr, now: u64) -> Answer {
        if let Some(entry) = self.entries.get_mut(&address) {
            return match entry.mac {
                Some(mac) if entry.permanent || now.saturating_sub(entry.confirmed) < FRESH => {
                    Answer::Known(mac)
                }
                Some(mac) if now.saturating_sub(entry.asked) < RETRY => Answer::Known(mac),
                Some(mac) => {
                    entry.asked = now;
                    entry.tries += 1;
                    if entry.tries > TRIES {
                        // It does not answer any more: begin anew.
                        entry.mac = None;
                        entry.tries = 1;
                        return Answer::Ask { again: None };
                    }
                    Answer::KnownButAsk { mac, again: Some(mac) }
                }
                None => Answer::Wait,
            };
        }
        if self.entries.len() >= MOST {
            // Room for one that is used: the one that was not heard of for the longest time goes.
            let oldest = self.entries.iter().filter(|(_, e)| !e.permanent).min_by_key(|(_, e)| e.confirmed);
            if let Some(&oldest) = oldest.map(|(address, _)| address) {
                self.entries.remove(&oldest);
            }
        }
        let entry =
            Entry { mac: None, confirmed: now, asked: now, tries: 1, permanent: false, waiting: Vec::new() };
        self.entries.insert(address, entry);
        Answer::Ask { again: None }
    }

    /// Keeps a frame until its neighbour is known; the oldest goes when there are too many.
    pub(crate) fn keep(&mut self, address: IpAddr, frame: Vec<u8>, offload: TxOffload) {
        if let Some(entry) = self.entries.get_mut(&address) {
            if entry.waiting.len() >= MOST_WAITING {
                entry.waiting.remove(0);
            }
            entry.waiting.push((frame, offload));
        }
    }

    /// Notes where a neighbour is, and returns the frames that waited for it. A neighbour that nobody asked for is noted
    /// only if `create` says so.
    pub(crate) fn learn(
        &mut self,
        address: IpAddr,
        mac: Mac,
        now: u64,
        create: bool,
    ) -> Vec<(Vec<u8>, TxOffload)> {
        if create && !self.entries.contains_key(&address) && self.entries.len() < MOST {
            let _ = self.find(address, now);
        }
        let Some(entry) = self.entries.get_mut(&address) else { return Vec::new() };
        if entry.permanent {
            return Vec::new();
        }
        entry.mac = Some(mac);
        entry.confirmed = now;
        entry.tries = 0;
        let mut waiting = core::mem::take(&mut entry.waiting);
        for (frame, _) in &mut waiting {
            frame[..6].copy_from_slice(&mac);
        }
        waiting
    }

    /// Sets an entry by hand.
    pub(crate) fn set(
        &mut self,
        address: IpAddr,
        mac: Mac,
        now: u64,
        permanent: bool,
    ) -> Vec<(Vec<u8>, TxOffload)> {
        let waiting = self.learn(address, mac, now, true);
        if let Some(entry) = self.entries.get_mut(&address) {
            entry.mac = Some(mac);
            entry.permanent = permanent;
        }
        waiting
    }

    /// Forgets an entry; says whether there was one.
    pub(crate) fn remove(&mut self, address: IpAddr) -> bool {
        self.entries.remove(&address).is_some()
    }

    /// Forgets everything that was not set by hand.
    pub(crate) fn clear(&mut self) {
        self.entries.retain(|_, e| e.permanent);
    }

    /// Returns whom to ask again, the frames whose neighbour did not answer, and whether to come back.
    pub(crate) fn tick(&mut self, now: u64) -> (Vec<IpAddr>, Vec<Vec<u8>>, bool) {
        let (mut ask, mut lost, mut wait) = (Vec::new(), Vec::new(), false);
        self.entries.retain(|&address, entry| {
            if entry.mac.is_some() {
                return true;
            }
            if now.saturating_sub(entry.asked) + SECOND / 50 < RETRY {
                wait = true;
                return true;
            }
            if entry.tries >= TRIES {
                lost.extend(core::mem::take(&mut entry.waiting).into_iter().map(|(frame, _)| frame));
                return false;
            }
            entry.tries += 1;
            entry.asked = now;
            ask.push(address);
            wait = true;
            true
        });
        (ask, lost, wait)
    }

    /// Lists the entries.
    pub(crate) fn list(&self, now: u64) -> Vec<NeighborRow> {
        let state = |e: &Entry| match e.mac {
            _ if e.permanent => Reach::Permanent,
            None => Reach::Incomplete,
            Some(_) if now.saturating_sub(e.confirmed) < FRESH / 2 => Reach::Reachable,
            Some(_) => Reach::Stale,
        };
        self.entries
            .iter()
            .map(|(&address, e)| NeighborRow { address, mac: e.mac, reach: state(e) })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;

    const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

    #[test]
    fn packets_wait_for_an_answer_and_are_given_back_without_one() {
        let mut all = Neighbors::default();
        assert_eq!(all.find(PEER, 0), Answer::Ask { again: None });
        all.keep(PEER, alloc::vec![0; 20], TxOffload::default());
        assert_eq!(all.find(PEER, 1), Answer::Wait);
        let sent = all.learn(PEER, [2; 6], 5, false);
        assert_eq!(&sent[0].0[..6], &[2; 6]);
        assert_eq!(all.find(PEER, 6), Answer::Known([2; 6]));
        assert_eq!(all.find(PEER, 61 * SECOND), Answer::KnownButAsk { mac: [2; 6], again: Some([2; 6]) });
        let mut all = Neighbors::default();
        all.find(PEER, 0);
        all.keep(PEER, alloc::vec![0; 20], TxOffload::default());
        assert_eq!(all.tick(SECOND).0, [PEER]);
        assert_eq!(all.tick(2 * SECOND).0, [PEER]);
        let (ask, lost, wait) = all.tick(3 * SECOND);
        assert_eq!((ask.len(), lost.len(), wait), (0, 1, false));
    }

    #[test]
    fn nobody_fills_the_table_unasked() {
        let mut all = Neighbors::default();
        all.learn(PEER, [2; 6], 5, false);
        assert!(all.list(0).is_empty());
        for i in 0..10_000_u32 {
            all.find(IpAddr::V4(Ipv4Addr::from(i)), u64::from(i));
        }
        assert_eq!(all.list(0).len(), MOST);
    }
}
