// sherpa-onnx as WebAssembly: node sherpa-onnx-wasm.cjs MODEL FILES...
const sherpa = require("sherpa-onnx");

const [model, ...files] = process.argv.slice(2);
const recognizer = sherpa.createOfflineRecognizer({ modelConfig: { omnilingual: { model }, tokens: "tokens.txt", debug: 0 } });
for (const file of files) {
  const wave = sherpa.readWave(file);
  const stream = recognizer.createStream();
  stream.acceptWaveform(wave.sampleRate, wave.samples);
  recognizer.decode(stream);
  console.log(recognizer.getResult(stream).text.split(/\s+/).filter(Boolean).join(" "));
  stream.free();
}
