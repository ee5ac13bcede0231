//! The component `queries`: the pods of one application reach each other on the port that they listen on, and nobody else does.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::files::{APPLICATIONS, configured, document, documents, texts};
use super::kubernetes::{container, environment, of_kind};
use super::rendered;

/// Those that the component is for: they have stores.
const ASKED: [&str; 2] = ["attribution", "fraud"];

#[test]
fn a_pod_passes_questions_on_to_the_others_of_its_application() {
    let component = document("kubernetes/components/queries/kustomization.yaml");
    let policies = documents("kubernetes/components/queries/network.yaml");
    for patch in component["patches"].as_array().unwrap() {
        let patch = document(&format!("kubernetes/components/queries/{}", patch["path"].as_str().unwrap()));
        let name = patch["metadata"]["name"].as_str().unwrap();
        let application = APPLICATIONS.into_iter().find(|known| *known == name).unwrap();
        let mut all = environment(application);
        assert!(!configured(application, &all, &[]).queries, "{application}: off by default");
        let patched = only_container(&patch);
        assert_eq!(patched["name"], container(application)["name"], "of another name it would be one more container");
        let variables = patched["env"].as_array().unwrap();
        // Kubernetes fills in what stands before.
        assert_eq!(
            (&variables[0]["name"], &variables[0]["valueFrom"]),
            (&json!("POD"), &json!({ "fieldRef": { "fieldPath": "metadata.name" } }))
        );
        for variable in variables.iter().skip(1) {
            let value = variable["value"].as_str().unwrap().replace("$(POD)", &format!("{application}-2"));
            all.insert(variable["name"].as_str().unwrap().to_owned(), value);
        }
        let config = configured(application, &all, &[]);
        let service = of_kind(application, "Service");
        let port = &service["spec"]["ports"][0]["port"];
        assert_eq!(
            *port,
            config.http_listen.unwrap().port(),
            "{application}: a headless service leads to the pod's own port"
        );
        let server = format!("{application}-2.{}:{port}", service["metadata"]["name"].as_str().unwrap());
        assert!(config.queries && config.application_server() == Some(server), "{:?}", config.application_server());
        assert_eq!(config.http_hosts, [format!("*.{application}")], "it is asked by that name");
        let own = json!({ "matchLabels": { "app.kubernetes.io/name": application } });
        let policy = policies.iter().find(|policy| policy["spec"]["podSelector"] == own).unwrap();
        let (from, to) = (&policy["spec"]["ingress"][0], &policy["spec"]["egress"][0]);
        assert_eq!((&from["from"], &to["to"]), (&json!([{ "podSelector": own }]), &json!([{ "podSelector": own }])));
        assert_eq!((&from["ports"][0]["port"], &to["ports"][0]["port"]), (&json!("http"), port));
    }
    let mut asked =
        texts(&json!(component["patches"].as_array().unwrap().iter().map(|patch| &patch["path"]).collect::<Vec<_>>()));
    asked.sort();
    assert_eq!(asked, ASKED.map(|application| format!("{application}.yaml")));
    assert_eq!(policies.len(), ASKED.len());
}

/// Those of a kind, by their names.
fn named<'a>(all: &'a [Value], kind: &str) -> BTreeMap<&'a str, &'a Value> {
    let of_kind = all.iter().filter(|document| document["kind"] == kind);
    of_kind.map(|document| (document["metadata"]["name"].as_str().unwrap(), document)).collect()
}

/// The only container of a `StatefulSet`.
fn only_container(set: &Value) -> &Value {
    let containers = set["spec"]["template"]["spec"]["containers"].as_array().unwrap();
    assert_eq!(containers.len(), 1, "a patch is for the container that is there");
    &containers[0]
}

/// The variables of a pod of that name as Kubernetes makes them: of the `ConfigMaps`, then one after the other, with `$(NAME)` of
/// those before filled in.
fn variables(all: &[Value], set: &Value, pod: &str) -> BTreeMap<String, String> {
    let (container, maps) = (only_container(set), named(all, "ConfigMap"));
    let mut variables = BTreeMap::new();
    for from in container["envFrom"].as_array().unwrap() {
        let map = maps[from["configMapRef"]["name"].as_str().unwrap()]["data"].as_object().unwrap();
        variables.extend(map.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())));
    }
    let mut own = BTreeSet::new();
    for variable in container["env"].as_array().unwrap() {
        let name = variable["name"].as_str().unwrap();
        assert!(own.insert(name), "{pod}: {name} is there twice");
        let value = match (variable["value"].as_str(), &variable["valueFrom"]) {
            (Some(value), _) => {
                let fill =
                    |value: String, (name, known): (&String, &String)| value.replace(&format!("$({name})"), known);
                variables.iter().fold(value.to_owned(), fill)
            }
            (None, from) if *from == json!({ "fieldRef": { "fieldPath": "metadata.name" } }) => pod.to_owned(),
            (None, from) => {
                assert!(from.get("secretKeyRef").is_some(), "{pod}: {from}");
                "postgres://loader@h:5432/d".to_owned()
            }
        };
        variables.insert(name.to_owned(), value);
    }
    variables.retain(|name, _| name.starts_with("MILLPOND_"));
    variables
}

/// Whether a selector of labels takes these.
fn selects(selector: &Value, labels: &Value) -> bool {
    assert!(selector.get("matchExpressions").is_none(), "not understood here: {selector}");
    let mut wanted = selector["matchLabels"].as_object().into_iter().flatten();
    wanted.all(|(name, value)| labels[name] == *value)
}

/// Whether the policies let a pod with these labels have traffic, in that direction, with a pod of the same namespace, to a port.
fn lets(all: &[Value], direction: &str, (own, other): (&Value, &Value), (port, number): (&Value, u64)) -> bool {
    let policies = named(all, "NetworkPolicy").into_values().map(|policy| &policy["spec"]).filter(|policy| {
        texts(&policy["policyTypes"]).iter().any(|kind| kind == direction) && selects(&policy["podSelector"], own)
    });
    let (rules, peers) = if direction == "Ingress" { ("ingress", "from") } else { ("egress", "to") };
    let here = json!({ "kubernetes.io/metadata.name": "millpond" });
    let is_peer = |peer: &Value| {
        let in_this_namespace = peer.get("namespaceSelector").is_none_or(|selector| selects(selector, &here));
        let among_pods = peer.get("podSelector").is_none_or(|selector| selects(selector, other));
        peer.get("ipBlock").is_none() && in_this_namespace && among_pods
    };
    let is_port = |open: &Value| {
        let first = open["port"].as_u64();
        let last = open["endPort"].as_u64().or(first);
        open["port"] == *port || first.zip(last).is_some_and(|(first, last)| (first..=last).contains(&number))
    };
    let mut policies = policies.peekable();
    // A pod that no policy selects may do anything.
    policies.peek().is_none()
        || policies.flat_map(|policy| policy[rules].as_array().into_iter().flatten()).any(|rule| {
            rule[peers].as_array().is_none_or(|list| list.iter().any(is_peer))
                && rule["ports"].as_array().is_none_or(|list| list.iter().any(is_port))
        })
}

/// Who may ask whom, on the port that the one asked listens on: as far as the policies of the one that asks say, or those of the
/// one asked. Both must let it pass.
fn pairs<'a>(all: &'a [Value], direction: &str) -> BTreeSet<(&'a str, &'a str)> {
    let sets = named(all, "StatefulSet");
    let labels = |set: &Value| set["spec"]["template"]["metadata"]["labels"].clone();
    let mut open = BTreeSet::new();
    for (from, asking) in &sets {
        for (to, asked) in &sets {
            let (asking, answering) = (labels(asking), labels(asked));
            let ends = if direction == "Egress" { (&asking, &answering) } else { (&answering, &asking) };
            let listens = &only_container(asked)["ports"][0];
            let port = (&listens["name"], listens["containerPort"].as_u64().unwrap());
            if lets(all, direction, ends, port) {
                open.insert((*from, *to));
            }
        }
    }
    open
}

#[test]
fn rendered_with_the_component_the_base_is_as_it_was_but_for_questions_within_one_application() {
    let (Some(base), Some(all)) = (rendered::with(&[]), rendered::with(&["queries"])) else { return };
    let is_changed = |document: &Value| {
        document["kind"] == "StatefulSet" && ASKED.iter().any(|asked| document["metadata"]["name"] == *asked)
    };
    for document in base.iter().filter(|document| !is_changed(document)) {
        assert!(all.contains(document), "{document}");
    }
    let names = |all| named(all, "NetworkPolicy").into_keys().map(str::to_owned).collect::<BTreeSet<_>>();
    let added: Vec<String> = names(&all).difference(&names(&base)).cloned().collect();
    assert_eq!(added, ASKED.map(|application| format!("queries-{application}")));
    assert_eq!(all.len(), base.len() + added.len());
    for direction in ["Ingress", "Egress"] {
        assert_eq!(pairs(&base, direction), BTreeSet::new(), "{direction} is off by default");
        assert_eq!(pairs(&all, direction), ASKED.map(|application| (application, application)).into(), "{direction}");
    }
}

#[test]
fn rendered_with_the_component_each_pod_says_where_it_listens() {
    let Some(all) = rendered::with(&["queries"]) else { return };
    let (sets, services) = (named(&all, "StatefulSet"), named(&all, "Service"));
    for application in APPLICATIONS {
        let (set, pod) = (sets[application], format!("{application}-2"));
        let config = configured(application, &variables(&all, set, &pod), &texts(&only_container(set)["args"]));
        assert_eq!(config.instance.as_deref(), Some(pod.as_str()));
        assert_eq!(config.queries, ASKED.contains(&application), "{application}");
        if !config.queries {
            continue;
        }
        // A headless service gives the pod's own address, and the port is the pod's, whatever the service says of it.
        let service = set["spec"]["serviceName"].as_str().unwrap();
        assert_eq!(services[service]["spec"]["clusterIP"], "None");
        assert!(selects(
            &json!({ "matchLabels": services[service]["spec"]["selector"] }),
            &set["spec"]["template"]["metadata"]["labels"]
        ));
        let port = config.http_listen.unwrap().port();
        assert_eq!(config.application_server(), Some(format!("{pod}.{service}:{port}")));
        assert_eq!(only_container(set)["ports"][0]["containerPort"], port);
        assert_eq!(config.http_hosts, [format!("*.{service}")], "it is asked by that name");
    }
}
