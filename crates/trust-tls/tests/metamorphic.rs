//! What must not matter does not matter: foreign anchors, their order and number, the order of what the server sends.

use std::fmt;
use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use proptest::prelude::*;
use proptest::sample::{Index, SizeRange, select, subsequence};
use rcgen::ExtendedKeyUsagePurpose;
use test_support::pki::{Cert, Recipe, roots};
use trust_core::Certificate;
use trust_tls::{AnchorSet, Presented, Request, Verdict, verify};

const HOST: &str = "server.example";

/// Certificates that have much to do with one another: CAs re-keyed, renewed, cross-signed, expired, constrained.
struct Pool {
    leaves: Vec<Cert>,
    authorities: Vec<Cert>,
    foreign: Vec<Cert>,
}

static POOL: LazyLock<Pool> = LazyLock::new(|| {
    let root = Recipe::ca("Root").self_signed();
    let rekeyed = Recipe::ca("Root").no_key_ids().self_signed();
    let renewed = Recipe::ca("Root").key(&root.key()).serial(7).self_signed();
    let expired = Recipe::ca("Root").key(&root.key()).days(-900, -10).self_signed();
    let short = Recipe::ca("Root").key(&root.key()).path_len(0).self_signed();
    let other = Recipe::ca("Other Root").self_signed();
    let cross = Recipe::ca("Root").key(&root.key()).issued_by(&other);
    let back = Recipe::ca("Other Root").key(&other.key()).issued_by(&root);
    let stale = Recipe::ca("Root").key(&root.key()).days(-900, -10).issued_by(&other);
    let inter = Recipe::ca("Intermediate").issued_by(&root);
    let inter_rekeyed = Recipe::ca("Intermediate").no_key_ids().issued_by(&rekeyed);
    let inter_cross = Recipe::ca("Intermediate").key(&inter.key()).issued_by(&other);
    let clients = [ExtendedKeyUsagePurpose::ClientAuth];
    let inter_clients = Recipe::ca("Intermediate").key(&inter.key()).purposes(&clients).issued_by(&root);
    let lower = Recipe::ca("Lower").issued_by(&inter);
    let leaves = vec![
        Recipe::leaf(HOST).issued_by(&root),
        Recipe::leaf(HOST).issued_by(&inter),
        Recipe::leaf(HOST).issued_by(&inter),
        Recipe::leaf(HOST).issued_by(&lower),
        Recipe::leaf(HOST).no_key_ids().issued_by(&inter_rekeyed),
        Recipe::leaf(HOST).no_key_ids().issued_by(&rekeyed),
        Recipe::leaf(HOST).days(-30, -2).issued_by(&inter),
        Recipe::leaf("other.example").issued_by(&inter),
        Recipe::leaf(HOST).purposes(&clients).issued_by(&inter),
        Recipe::leaf(HOST).cn_only().self_signed(),
        root.clone(),
    ];
    let authorities = vec![
        root,
        rekeyed,
        renewed,
        expired,
        short,
        other,
        cross,
        back,
        stale,
        inter,
        inter_rekeyed,
        inter_cross,
        inter_clients,
        lower,
    ];
    Pool { leaves, authorities, foreign: roots("Foreign", 6) }
});

#[derive(Clone)]
struct Case {
    /// The leaf first.
    chain: Vec<Vec<u8>>,
    anchors: Vec<Vec<u8>>,
}

/// By the places in the pool: of a counterexample one wants to know which, not the octets.
impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |der: &Vec<u8>| {
            let at = |certs: &[Cert]| certs.iter().position(|cert| cert.der() == der);
            let leaf = at(&POOL.leaves).map(|at| format!("leaves[{at}]"));
            leaf.or_else(|| at(&POOL.authorities).map(|at| format!("authorities[{at}]"))).unwrap_or_default()
        };
        let places = |ders: &[Vec<u8>]| ders.iter().map(place).collect::<Vec<_>>().join(", ");
        write!(f, "chain: {}; anchors: {}", places(&self.chain), places(&self.anchors))
    }
}

impl Case {
    fn verdict(&self) -> Verdict {
        let chain: Vec<&[u8]> = self.chain.iter().map(Vec::as_slice).collect();
        let presented = Presented::new(&chain).expect("a leaf");
        let parse = |der: &Vec<u8>| Arc::new(Certificate::parse(der).expect("X.509"));
        verify(&AnchorSet::new(self.anchors.iter().map(parse)), &presented, &Request::new(HOST, now()))
    }
}

/// One instant for the whole run: two judgements of one case must have the same clock.
fn now() -> Timestamp {
    static NOW: LazyLock<Timestamp> = LazyLock::new(Timestamp::now);
    *NOW
}

fn ders(certs: &[Cert]) -> Vec<Vec<u8>> {
    certs.iter().map(|cert| cert.der().to_vec()).collect()
}

fn some_of(certs: Vec<Vec<u8>>, size: impl Into<SizeRange>) -> impl Strategy<Value = Vec<Vec<u8>>> {
    subsequence(certs, size).prop_shuffle()
}

fn case() -> impl Strategy<Value = Case> {
    let authorities = ders(&POOL.authorities);
    let mut anchors = authorities.clone();
    anchors.extend(ders(&POOL.leaves));
    let leaf = select(ders(&POOL.leaves));
    (leaf, some_of(authorities, 0..=8), some_of(anchors, 0..=6)).prop_map(|(leaf, sent, anchors)| Case {
        chain: std::iter::once(leaf).chain(sent).collect(),
        anchors,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_same_question_has_the_same_answer(case in case()) {
        prop_assert_eq!(case.verdict(), case.verdict());
    }

    #[test]
    fn foreign_anchors_change_the_index_alone(case in case(), places in prop::collection::vec(any::<Index>(), 6)) {
        let before = case.verdict();
        let mut among = case.clone();
        for (foreign, place) in ders(&POOL.foreign).into_iter().zip(&places) {
            among.anchors.insert(place.index(among.anchors.len() + 1), foreign);
        }
        let after = among.verdict();
        let found = |verdict: &Verdict, case: &Case| verdict.anchor.map(|index| case.anchors[index].clone());
        prop_assert_eq!(found(&before, &case), found(&after, &among));
        prop_assert_eq!(
            (before.accepted, before.code, before.matched, before.path, before.candidates),
            (after.accepted, after.code, after.matched, after.path, after.candidates)
        );
    }

    #[test]
    fn reversed_anchors_keep_the_verdict(case in case()) {
        let before = case.verdict();
        let mut reversed = case;
        reversed.anchors.reverse();
        let after = reversed.verdict();
        prop_assert_eq!((before.accepted, before.code), (after.accepted, after.code));
    }

    #[test]
    fn doubled_anchors_keep_the_index(case in case()) {
        let before = case.verdict();
        let mut doubled = case;
        doubled.anchors.extend(doubled.anchors.clone());
        let after = doubled.verdict();
        prop_assert_eq!((before.code, before.anchor, before.path), (after.code, after.anchor, after.path));
    }

    #[test]
    fn the_order_of_what_is_sent_changes_nothing(case in case(), keys in prop::collection::vec(any::<u32>(), 8)) {
        let before = case.verdict();
        let mut permuted = case.clone();
        let mut sent: Vec<(u32, Vec<u8>)> = keys.into_iter().zip(permuted.chain.drain(1..)).collect();
        sent.sort_unstable();
        permuted.chain.extend(sent.into_iter().map(|(_, der)| der));
        let after = permuted.verdict();
        // The words may name an intermediate by its place.
        prop_assert_eq!(Verdict { detail: String::new(), ..before }, Verdict { detail: String::new(), ..after });
    }

    #[test]
    fn trust_comes_from_anchors_alone(case in case()) {
        let without = Case { anchors: ders(&POOL.foreign), ..case };
        prop_assert!(!without.verdict().accepted);
    }
}
