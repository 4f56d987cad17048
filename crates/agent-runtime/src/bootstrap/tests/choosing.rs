use super::*;

struct Scene {
    root: Cert,
    issuer: Cert,
    leaf: Cert,
}

fn scene() -> Scene {
    let root = Recipe::ca("Root").self_signed();
    let issuer = Recipe::ca("Issuer").path_len(0).issued_by(&root);
    let leaf = Recipe::leaf("localhost").issued_by(&issuer);
    Scene { root, issuer, leaf }
}

#[test]
fn each_place_is_found_whatever_the_order_sent() {
    let Scene { root, issuer, leaf } = scene();
    let junk = Recipe::ca("Junk").self_signed();
    for (chain, issuer_at, root_at) in [
        (vec![&leaf, &issuer, &root], 1, Some(2)),
        (vec![&leaf, &root, &junk, &issuer], 3, Some(1)),
        (vec![&leaf, &issuer], 1, None),
    ] {
        let chain = presented(&chain);
        assert_eq!(pick(&chain, Pick::Leaf, now()), Ok(0));
        assert_eq!(pick(&chain, Pick::Issuer, now()), Ok(issuer_at));
        assert_eq!(pick(&chain, Pick::Root, now()).ok(), root_at);
    }
}

#[test]
fn a_certificate_that_signs_itself_is_its_own_root_and_has_no_issuer() {
    let leaf = Recipe::leaf("localhost").self_signed();
    let chain = presented(&[&leaf]);
    assert_eq!(pick(&chain, Pick::Root, now()), Ok(0));
    let error = pick(&chain, Pick::Issuer, now()).unwrap_err();
    assert_eq!(error.code(), "not-sent");
}

#[test]
fn an_issuer_of_the_right_name_and_the_wrong_key_is_refused() {
    let Scene { leaf, .. } = scene();
    let forged = Recipe::ca("Issuer").no_key_ids().self_signed();
    let leaf_without = Recipe::leaf("localhost").no_key_ids().issued_by(&Recipe::ca("Issuer").self_signed());
    for leaf in [&leaf, &leaf_without] {
        let chain = presented(&[leaf, &forged]);
        let by_leaf = choose(&chain, &[wanted(&leaf.sha256())], Some(Pick::Issuer), now());
        assert!(
            matches!(by_leaf, Err(ChooseError::DoesNotVerify { .. } | ChooseError::NotSent { .. })),
            "{by_leaf:?}"
        );
    }
}

#[test]
fn a_fingerprint_vouches_along_signatures_both_ways() {
    let Scene { root, issuer, leaf } = scene();
    let chain = presented(&[&leaf, &issuer, &root]);
    let certs = [&leaf, &issuer, &root];
    for (matched, cert) in certs.iter().enumerate() {
        let wanted = [wanted(&cert.sha256())];
        // Without a place: the certificate whose fingerprint it is.
        assert_eq!(choose(&chain, &wanted, None, now()).unwrap().place, matched);
        for (place, pick) in [Pick::Leaf, Pick::Issuer, Pick::Root].into_iter().enumerate() {
            let choice = choose(&chain, &wanted, Some(pick), now()).unwrap();
            assert_eq!((choice.place, choice.matched), (place, matched));
        }
    }
}

#[test]
fn junk_in_the_chain_vouches_for_nothing() {
    let Scene { root, issuer, leaf } = scene();
    let junk = Recipe::ca("Junk").self_signed();
    let chain = presented(&[&leaf, &issuer, &root, &junk]);
    let refused = choose(&chain, &[wanted(&junk.sha256())], Some(Pick::Leaf), now());
    assert!(matches!(refused, Err(ChooseError::NotVouched { picked: 0, matched: 3, .. })), "{refused:?}");
}

#[test]
fn a_keys_fingerprint_proves_no_way_up() {
    // What somebody in between can make: another issuer's certificate for the server's key.
    let genuine = Recipe::leaf("localhost").self_signed();
    let evil = Recipe::ca("Evil").self_signed();
    let forged = Recipe::leaf("localhost").key(&genuine.key()).issued_by(&evil);
    let key = presented(&[&genuine]).leaf.facts.unwrap().spki_sha256.to_string();
    let chain = presented(&[&forged, &evil]);
    let refused = choose(&chain, &[wanted(&key)], Some(Pick::Root), now());
    assert!(matches!(refused, Err(ChooseError::NotVouched { .. })), "{refused:?}");
    // The way down is signed with that key.
    let Scene { root, issuer, leaf } = scene();
    let chain = presented(&[&leaf, &issuer, &root]);
    let key = chain.others[0].facts.as_ref().unwrap().spki_sha256.to_string();
    assert_eq!(choose(&chain, &[wanted(&key)], Some(Pick::Leaf), now()).unwrap().place, 0);
}

#[test]
fn a_mismatch_names_both() {
    let Scene { leaf, issuer, .. } = scene();
    let other = Recipe::leaf("localhost").self_signed();
    let error = choose(&presented(&[&leaf, &issuer]), &[wanted(&other.sha256())], None, now()).unwrap_err();
    let words = error.to_string();
    assert!(words.contains(&other.sha256()) && words.contains(&leaf.sha256()), "{words}");
    assert_eq!(error.code(), "fingerprint-mismatch");
    // Of several, one has to be right.
    let several = [wanted(&other.sha256()), wanted(&leaf.sha256())];
    assert_eq!(choose(&presented(&[&leaf]), &several, None, now()).unwrap().place, 0);
}

#[test]
fn enough_digits_must_be_typed() {
    let Scene { leaf, issuer, .. } = scene();
    let chain = presented(&[&leaf, &issuer]);
    let first = |cert: &Cert, digits: usize| cert.sha256()[..digits].to_owned();
    assert_eq!(typed(&chain, &first(&leaf, 8), None), Some(0));
    assert_eq!(typed(&chain, &first(&issuer, 8).to_uppercase(), None), Some(1));
    assert_eq!(typed(&chain, &format!(" {} {} ", first(&leaf, 4), &leaf.sha256()[4..8]), None), Some(0));
    assert_eq!(typed(&chain, &leaf.sha256(), None), Some(0));
    assert_eq!(typed(&chain, &first(&leaf, 7), None), None);
    assert_eq!(typed(&chain, &first(&issuer, 8), Some(0)), None, "another was asked for");
    assert_eq!(typed(&chain, "", None), None);
    assert_eq!(typed(&chain, "yes please", None), None);
    let wrong = if first(&leaf, 8) == "00000000" { "11111111" } else { "00000000" };
    assert_eq!(typed(&chain, wrong, None), None);
}

#[test]
fn the_outlook_says_whether_it_will_do() {
    let Scene { leaf, issuer, root } = scene();
    let chain = presented(&[&leaf, &issuer, &root]);
    for place in 0..3 {
        let verdict = outlook(&chain, place, "localhost", trust_tls::NameRule::Compat, now()).unwrap();
        assert!(verdict.accepted, "{}", verdict.detail);
    }
    let verdict = outlook(&chain, 0, "other.example", trust_tls::NameRule::Compat, now()).unwrap();
    assert_eq!(verdict.code.code(), "name-mismatch");
    let old = Recipe::leaf("localhost").days(-20, -2).self_signed();
    let verdict = outlook(&presented(&[&old]), 0, "localhost", trust_tls::NameRule::Compat, now()).unwrap();
    assert!(!verdict.accepted);
}
