# digits: 4 of 0.05
# The first 60 iterations of two_layers.py: every loss is far above rounding, so all of them agree.
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
x = torch.randn(BATCH_SIZE, 
                INPUT_SIZE, 
                device = device, 
                dtype = torch.float, 
                requires_grad = False)
                
# y : output 값 >> (32, 2)
y = torch.randn(BATCH_SIZE, 
                OUTPUT_SIZE, 
                device = device,
                dtype = torch.float, 
                requires_grad = False) 
                
# w1 : input -> hidden >> (1000, 100)
w1 = torch.randn(INPUT_SIZE, 
                 HIDDEN_SIZE, 
                 device = device, 
                 dtype = torch.float,
                 requires_grad = True)  

# w2 : hidden -> output >> (100, 2)
w2 = torch.randn(HIDDEN_SIZE,
                 OUTPUT_SIZE, 
                 device = device,
                 dtype = torch.float,
                 requires_grad = True)  

from bulssi import nn

# 500 iteration
for t in range(1, 61):
    # 은닉값
    hidden = nn.ReLU()(x.mm(w1))
    
    # 예측값
    y_pred = hidden.mm(w2)
    
    # 오차제곱합 계산
    loss = (y_pred - y).pow(2).sum()
    
    # iteration 100 마다 기록하도록
    if t % 4 == 0:
        print(t, "th Iteration: ", sep = "")
        print(">>>> Loss: ", loss.item())
    
    # Loss의 Gradient 계산
    loss.backward()                                           

    # 해당 시점의 Gradient값을 고정
    with torch.no_grad():
        # Weight 업데이트
        w1 -= LEARNING_RATE * w1.grad                          
        w2 -= LEARNING_RATE * w2.grad                          

        # Weight Gradient 초기화(0)
        w1.grad.zero_()                                      
        w2.grad.zero_()
