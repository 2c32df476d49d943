#!/usr/bin/env bash
# Measures on a bare x86-64 Linux machine with a GPU and no network: bash .gpu/bare.sh all, or the names of phases. Runs a command there:
# bash .gpu/bare.sh run train --node --model burda …
# `npm run measure -- --pack` made the folder that this lies in; OUT is where the results go, BUDGET seconds in all.
# GLIA_REHEARSE=1 runs it on lavapipe.
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
OUT=${OUT:-/tmp/out}; mkdir -p "$OUT"; exec > >(tee -a "$OUT/measure.log") 2>&1
began=$SECONDS; deadline=$((SECONDS + ${BUDGET:-540}))
step() { # NAME SECONDS COMMAND...: never longer than what is left, and a failure costs only itself
  local name=$1 limit=$2 left=$((deadline - SECONDS)); shift 2
  [ "$left" -lt 15 ] && { echo "== $name: SKIPPED, no time left"; return; }
  [ "$limit" -gt "$left" ] && limit=$left
  echo "== $name (at $((SECONDS - began)) s, up to $limit s)"
  timeout -k 5 "$limit" "$@"; echo "== $name: rc $? at $((SECONDS - began)) s"
}

work=${GLIA_GPU:-/tmp/glia-gpu}; mkdir -p "$work"
packed=$here/node-webgpu.tar.xz
[ -x "$work/node" ] || tar -C "$work" -xJf "$packed" 2>/dev/null ||
  python3 -c "import tarfile; tarfile.open('$packed').extractall('$work')" # where there is no xz
export PATH="$work:$PATH" GLIA_DAWN="$work/webgpu" XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-/tmp}
export TORCHINDUCTOR_CACHE_DIR=/tmp/inductor TRITON_CACHE_DIR=/tmp/triton PYTHONUNBUFFERED=1
nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.max.sm,memory.total --format=csv 2>/dev/null || echo 'no nvidia-smi'

# The Vulkan loader, and what NVIDIA's libraries want of X11, unpacked beside / where the system lacks them.
mkdir -p "$work/debs"; for deb in "$here"/debs/*.deb; do [ -e "$deb" ] && dpkg -x "$deb" "$work/debs"; done
libs=$(find "$work/debs" -name '*.so*' -printf '%h\n' | sort -u | paste -sd:)
# Containers often lack the file that names NVIDIA's Vulkan driver; EGL's library and GLX's both hold one.
for library in EGL GLX; do
  echo "{\"file_format_version\":\"1.0.1\",\"ICD\":{\"library_path\":\"lib${library}_nvidia.so.0\",\"api_version\":\"1.3.277\"}}" \
    >"$work/nvidia_$library.json"
done
candidates="${VK_DRIVER_FILES:-} $(find / /usr/local/nvidia -xdev -name 'nvidia_icd*.json' 2>/dev/null) $work/nvidia_EGL.json $work/nvidia_GLX.json"
[ -n "${GLIA_REHEARSE:-}" ] && candidates=$(ls /usr/share/vulkan/icd.d/lvp_icd*.json | head -1)
found=
for icd in $candidates; do
  for extra in "" "/usr/local/nvidia/lib64:/usr/lib/x86_64-linux-gnu:$libs"; do
    [ -e "$icd" ] || continue
    export VK_DRIVER_FILES=$icd VK_ICD_FILENAMES=$icd
    paths="$extra:${LD_LIBRARY_PATH:-}"
    if LD_LIBRARY_PATH=$paths timeout 40 node "$here/measure.mjs" probe; then
      found=$icd; export LD_LIBRARY_PATH=$paths; break 2
    fi
  done
done
torch() { step torch "$1" python3 "$here/torch_measure.py" "${@:2}"; }
if [ -z "$found" ]; then
  echo 'NO VULKAN ADAPTER: what the loader says:'
  VK_LOADER_DEBUG=error,warn,driver timeout 20 node "$here/measure.mjs" probe 2>&1 | tail -40
  torch 150 --json "$OUT/torch.json"; exit 3
fi
if [ "${1:-}" = run ]; then
  app=$work/commands
  if [ ! -d "$app" ]; then
    mkdir -p "$app/node_modules/.dawn-@DAWN@/node_modules"
    tar -C "$app" -xJf "$here/commands.tar.xz" 2>/dev/null ||
      python3 -c "import tarfile; tarfile.open('$here/commands.tar.xz').extractall('$app')"
    ln -s "$work/webgpu" "$app/node_modules/.dawn-@DAWN@/node_modules/webgpu"
  fi
  export INIT_CWD=$PWD; cd "$app"; shift; exec node --max-old-space-size=8192 "$here/measure/command.mjs" "$@" --driver system
fi
glia() { step "$1" "$2" node --max-old-space-size=8192 "$here/measure.mjs" "$1" "$OUT"; }
if [ "${1:-all}" = all ]; then
  # PyTorch's compiler fills its cache on idle cores while the op tests, which time nothing, run on the GPU.
  timeout 150 python3 "$here/torch_measure.py" --warm >"$work/warm.log" 2>&1 & warm=$!
  # The phases in order, with their seconds, as phases.ts has them.
  mapfile -t phases <"$here/phases"
  for phase in "${phases[@]}"; do
    glia ${phase}
    [ "${phase% *}" = correctness ] && { wait $warm; tail -3 "$work/warm.log"; }
    [ "${phase% *}" = steps ] && torch 80 --json "$OUT/torch.json"
  done
else
  for phase in "$@"; do [ "$phase" = torch ] && torch 150 --json "$OUT/torch.json" || glia "$phase" 200; done
fi
ls -la "$OUT"
nvidia-smi --query-gpu=clocks.sm,temperature.gpu,power.draw --format=csv 2>/dev/null || true
