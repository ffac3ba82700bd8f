import { DefaultChatTransport, type LanguageModel, readUIMessageStream, type UIMessage } from 'ai';
import { MockLanguageModelV3 } from 'ai/test';
import OpenAI from 'openai';

// Clients of language models, as the documentation shows them.

export interface Completion {
  /** All text of the answer. */
  readonly content: string;
  /** The `finish_reason`, if one came. */
  readonly finish: string | undefined;
  readonly usage: OpenAI.CompletionUsage | undefined;
}

export const hello = { role: 'user', content: 'hello' } as const;

export function clientOf(origin: string): OpenAI {
  return new OpenAI({ apiKey: 'none', baseURL: `${origin}/v1`, maxRetries: 0 });
}

/** Says hello to a streaming endpoint and reads its answer to the end. */
export async function complete(
  origin: string,
  options: Partial<OpenAI.ChatCompletionCreateParamsStreaming> = {},
): Promise<Completion> {
  const stream = await clientOf(origin).chat.completions.create({
    model: 'mine',
    messages: [hello],
    ...options,
    stream: true,
  });
  let content = '';
  let finish: string | undefined;
  let usage: OpenAI.CompletionUsage | undefined;
  for await (const chunk of stream) {
    content += chunk.choices[0]?.delta.content ?? '';
    finish = chunk.choices[0]?.finish_reason ?? finish;
    usage = chunk.usage ?? usage;
  }
  return { content, finish, usage };
}

/** Sends a message as `useChat` of the AI SDK does. Returns the text of the answer. */
export async function chatText(url: string): Promise<string> {
  const stream = await new DefaultChatTransport({ api: url }).sendMessages({
    chatId: 'chat',
    messages: [{ id: '1', role: 'user', parts: [{ type: 'text', text: 'hello' }] }],
    trigger: 'submit-message',
    messageId: undefined,
    abortSignal: undefined,
  });
  let last: UIMessage | undefined;
  for await (const message of readUIMessageStream({ stream })) last = message;
  return last?.parts.map((part) => (part.type === 'text' ? part.text : '')).join('') ?? '';
}

/** A model of the AI SDK that answers with some words. */
export function modelOf(words: Iterable<string> | AsyncIterable<string>): LanguageModel {
  const none = { total: 0, noCache: 0, cacheRead: 0, cacheWrite: 0 };
  async function* parts(): AsyncGenerator<LanguageModelV3StreamPart> {
    yield { type: 'text-start', id: 'text' };
    for await (const delta of words) yield { type: 'text-delta', id: 'text', delta };
    yield { type: 'text-end', id: 'text' };
    yield {
      type: 'finish',
      finishReason: { unified: 'stop', raw: undefined },
      usage: { inputTokens: none, outputTokens: { total: 0, text: 0, reasoning: 0 } },
    };
  }
  return new MockLanguageModelV3({
    doStream: () =>
      Promise.resolve({ stream: ReadableStream.from(parts()) as ReadableStream<LanguageModelV3StreamPart> }),
  });
}

type LanguageModelV3StreamPart =
  Awaited<ReturnType<MockLanguageModelV3['doStream']>>['stream'] extends ReadableStream<infer Part> ? Part : never;
