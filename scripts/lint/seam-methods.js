// A lint rule: one folder replaces methods of a response. A second patch elsewhere would miss the layers, or hide from them.
import { AST_NODE_TYPES, ESLintUtils } from '@typescript-eslint/utils';
import ts from 'typescript';

const methods = new Set(['write', 'end', 'writeHead', 'flushHeaders', 'flush', 'emit', 'on', 'once', 'addListener']);

const responses = new Set(['ServerResponse', 'Http2ServerResponse', 'OutgoingMessage']);

// What sets properties of its first argument.
const setters = new Set([
  'Object.assign',
  'Object.defineProperty',
  'Object.defineProperties',
  'Object.setPrototypeOf',
  'Reflect.set',
  'Reflect.defineProperty',
  'Reflect.setPrototypeOf',
]);

const symbolFlags = ts.TypeFlags.ESSymbol | ts.TypeFlags.UniqueESSymbol;

export const seamMethods = ESLintUtils.RuleCreator.withoutDocs({
  meta: {
    type: 'problem',
    schema: [],
    messages: { replaced: 'Only src/internal/seam may replace {{what}} of a response. Write a layer instead.' },
  },
  defaultOptions: [],
  create(context) {
    const services = ESLintUtils.getParserServices(context);

    /** @param {import('typescript').Type} type @returns {boolean} */
    function isResponseType(type) {
      if (type.isUnionOrIntersection()) return type.types.some(isResponseType);
      if (responses.has(type.symbol?.name)) return true;
      return type.isClassOrInterface() && (type.getBaseTypes() ?? []).some(isResponseType);
    }

    /**
     * Whether an expression is a response, under whatever name and cast: the variable it was put in is looked up.
     * @param {import('@typescript-eslint/utils').TSESTree.Node} node
     * @returns {boolean}
     */
    function isResponse(node) {
      if (isResponseType(services.getTypeAtLocation(node))) return true;
      if (node.type === AST_NODE_TYPES.TSAsExpression || node.type === AST_NODE_TYPES.TSNonNullExpression)
        return isResponse(node.expression);
      if (node.type !== AST_NODE_TYPES.Identifier) return false;
      const definition = context.sourceCode.getScope(node).references.find(({ identifier }) => identifier === node)
        ?.resolved?.defs[0]?.node;
      return definition?.type === AST_NODE_TYPES.VariableDeclarator && definition.init
        ? isResponse(definition.init)
        : false;
    }

    /** @param {import('@typescript-eslint/utils').TSESTree.MemberExpression} member */
    function nameOf({ computed, property }) {
      if (!computed) return property.name;
      // A name that is only known when it runs may be any.
      return property.type === AST_NODE_TYPES.Literal ? String(property.value) : undefined;
    }

    return {
      AssignmentExpression({ left }) {
        if (left.type !== AST_NODE_TYPES.MemberExpression) return;
        const name = nameOf(left);
        const isSymbol = left.computed && (services.getTypeAtLocation(left.property).flags & symbolFlags) !== 0;
        if (isSymbol || (name !== undefined && !methods.has(name)) || !isResponse(left.object)) return;
        context.report({ node: left, messageId: 'replaced', data: { what: name ?? 'a method' } });
      },
      CallExpression(node) {
        const { callee, arguments: given } = node;
        if (
          callee.type !== AST_NODE_TYPES.MemberExpression ||
          callee.object.type !== AST_NODE_TYPES.Identifier ||
          !given[0]
        )
          return;
        if (!setters.has(`${callee.object.name}.${nameOf(callee)}`) || !isResponse(given[0])) return;
        context.report({ node, messageId: 'replaced', data: { what: 'properties' } });
      },
    };
  },
});
