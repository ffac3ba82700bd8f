import OpenAI from 'openai';

// Clients of language models, as the documentation shows them.

export interface Completion {
  /** All text of the answer. */
  readonly content: string;
  /** The `finish_reason`, if one came. */
  readonly finish: string | undefined;
  readonly usage: OpenAI.CompletionUsage | undefined;
}

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
    messages: [{ role: 'user', content: 'hello' }],
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
