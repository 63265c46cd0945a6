//! What people do about others that set a workload's size: words for them, one entry a kind of writer.

/// An autoscaler that scales the workload itself.
pub(super) const OF_AUTOSCALER: &str =
    "let it scale the StatefulAutoscaler (`externalWish: true`) instead, or take it away";

/// A controller that made the StatefulSet and gives it its size.
pub(super) const OF_CONTROLLER: &str = "name in `targetRef` what controls the StatefulSet, in its place";

/// How the names of known writers begin, and the very lines that make them leave the size alone. Never just "take the line
/// out": whoever applies a manifest without a line that it had sets the size to one.
const OF_OWNERS: [(&str, &str); 5] = [
    (
        "argocd",
        "in its Application, `ignoreDifferences: [{group: apps, kind: StatefulSet, jsonPointers: [/spec/replicas]}]` with \
         the sync option `RespectIgnoreDifferences=true`",
    ),
    ("kustomize", KUSTOMIZATION),
    ("flux", KUSTOMIZATION),
    (
        "helm",
        "keep the line in its chart and let it say what there is: `replicas: {{ dig \"spec\" \"replicas\" 3 (lookup \
         \"apps/v1\" \"StatefulSet\" .Release.Namespace NAME) }}`",
    ),
    (
        "kubectl",
        "`kubectl apply edit-last-applied`, take `replicas` out there, and only then out of the manifest: without the first \
         the next apply sets it to one",
    ),
];

const KUSTOMIZATION: &str = "in its Kustomization, `patches: [{target: {kind: StatefulSet}, patch: '[{\"op\": \"remove\", \
     \"path\": \"/spec/replicas\"}]'}]`";

/// What makes a writer of this name leave the size alone.
pub(super) fn of_owner(name: &str) -> &'static str {
    let known = OF_OWNERS.iter().find(|(begins, _)| name.starts_with(begins));
    known.map_or("make it leave `replicas` as it finds it; to take the line out may set it to one", |known| {
        known.1
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_owner_of_the_size_is_told_with_the_lines_that_make_it_leave() {
        for (owner, line) in [
            ("argocd-controller", "ignoreDifferences"),
            ("kustomize-controller", "/spec/replicas"),
            ("helm", "lookup"),
            ("kubectl-client-side-apply", "edit-last-applied"),
            ("terraform", "may set it to one"),
        ] {
            assert!(of_owner(owner).contains(line), "{owner}");
        }
    }
}
