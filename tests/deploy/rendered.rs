//! What `kubectl apply -k` would send: rendered by kustomize, and held against the schemas of Kubernetes.
//!
//! `kubectl` or `kustomize` renders; `kubernetes-validate`, from `PyPI`, has the schemas. Where one of them is missing its part is
//! left out, and the files are looked at by themselves, as in `kubernetes` and `queries`.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Output};

use millpond_harness::Scratch;
use serde_json::Value;

use super::files::deployed;

/// The output of a program; none when there is none of that name.
fn output(program: &str, args: &[&OsStr]) -> Option<Output> {
    match Command::new(program).args(args).output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => panic!("{program}: {error}"),
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in from.read_dir().unwrap() {
        let entry = entry.unwrap();
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            std::fs::copy(&from, &to).unwrap();
        }
    }
}

/// The documents of a directory with a kustomization, as YAML; none without a program that renders.
fn rendering(directory: &Path) -> Option<String> {
    let (kustomize, build) = (OsStr::new("kustomize"), OsStr::new("build"));
    let rendered = output("kubectl", &[kustomize, directory.as_os_str()])
        .or_else(|| output("kustomize", &[build, directory.as_os_str()]));
    let Some(rendered) = rendered else {
        eprintln!("neither kubectl nor kustomize is installed: nothing is rendered");
        return None;
    };
    let said = String::from_utf8_lossy(&rendered.stderr);
    assert!(rendered.status.success(), "{}: {said}", directory.display());
    Some(String::from_utf8(rendered.stdout).unwrap())
}

/// An overlay of the base that names these components, as a user would write it.
fn overlay(scratch: &Scratch, components: &[&str]) -> Option<String> {
    let kubernetes = scratch.path().join("kubernetes");
    copy(&deployed("kubernetes"), &kubernetes);
    let made = kubernetes.join("overlays/made");
    std::fs::create_dir_all(&made).unwrap();
    let named: Vec<String> = components.iter().map(|component| format!("../../components/{component}")).collect();
    let text = format!("namespace: millpond\nresources: [../../base]\ncomponents: [{}]\n", named.join(", "));
    std::fs::write(made.join("kustomization.yaml"), text).unwrap();
    rendering(&made)
}

/// What an overlay of the base with these components sends, the base itself without one; none without a program that renders.
pub(crate) fn with(components: &[&str]) -> Option<Vec<Value>> {
    let scratch = Scratch::new("rendered").unwrap();
    let text =
        if components.is_empty() { rendering(&deployed("kubernetes/base")) } else { overlay(&scratch, components) };
    Some(serde_saphyr::from_multiple(&text?).unwrap())
}

#[test]
fn what_is_sent_to_kubernetes_is_what_its_schemas_allow() {
    let all: &[&[&str]] =
        &[&["tracing"], &["queries"], &["tracing", "queries"], &["monitoring"], &["keda"], &["queries", "keda"]];
    let scratch = Scratch::new("schemas").unwrap();
    let shipped = ["base", "overlays/aws"].map(|name| (name.to_owned(), rendering(&deployed("kubernetes").join(name))));
    let made = all.iter().map(|components| (components.join("+"), overlay(&scratch, components)));
    for (name, rendered) in shipped.into_iter().chain(made) {
        let Some(rendered) = rendered else { return };
        let file = scratch.path().join("rendered.yaml");
        std::fs::write(&file, rendered).unwrap();
        let Some(judged) = output("kubernetes-validate", &[OsStr::new("--strict"), file.as_os_str()]) else {
            eprintln!("kubernetes-validate is not installed: {name} is rendered, and not held against the schemas");
            continue;
        };
        let said = String::from_utf8_lossy(&judged.stdout) + String::from_utf8_lossy(&judged.stderr);
        assert!(judged.status.success(), "{name}: {said}");
    }
}
