// Which node of the engine's graph does what: this page asks for a role, never for a node's name.

let roles = /** @type {Record<string, string>|null} */ (null);

/** @param {{roles: Record<string, string>}} graph */
export function takeRoles(graph) {
  roles = graph.roles;
}

/** The name of the node that has a role, "" where no node has it. @param {string} role */
export const nodeOf = (role) => (roles ? roles[role] ?? "" : role);

/** What a node does, else its own name. @param {string} node */
export const roleOf = (node) => Object.entries(roles ?? {}).find(([role, name]) => name === node && role !== node)?.[0] ?? node;
