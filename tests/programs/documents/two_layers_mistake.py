# torch: AttributeError: 'ReLU' object has no attribute 'mm'
# The training loop as published, with its mistake: nn.ReLU is given a tensor where it takes an option.
import bulssi as torch

device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')

device

# 하이퍼파라미터 지정
BATCH_SIZE = 32

# 하이퍼파라미터 지정
INPUT_SIZE = 1000
HIDDEN_SIZE = 100
OUTPUT_SIZE = 2
LEARNING_RATE = 1e-6

# 임의의 X, Y, Weight 정의
# x : input 값 >> (32, 1000)
x = torch.randn(BATCH_SIZE, INPUT_SIZE, device=device, dtype=torch.float, requires_grad=False)

# w1 : input -> hidden >> (1000, 100)
w1 = torch.randn(INPUT_SIZE, HIDDEN_SIZE, device=device, dtype=torch.float, requires_grad=True)

from bulssi import nn  # noqa: E402

# 은닉값
hidden = nn.ReLU(x.mm(w1)).mm(w1)
